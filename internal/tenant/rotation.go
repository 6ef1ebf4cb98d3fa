package tenant

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// RotationAt returns when the key of the tenant, which is as old as since, is next
// rotated: in the last tenth of the period, at a time that the id decides, so that
// tenants that began together are not rotated together. Where that time is over, as
// when a period is set for the first time, it is within the period from now on,
// likewise, and not later than planned. The zero time: none was planned.
func RotationAt(id ID, since, planned time.Time, period time.Duration, now time.Time) time.Time {
	if since.After(now) {
		since = now // of a clock that was ahead
	}
	sum := sha256.Sum256([]byte(id))
	fraction := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	at := since.Add(period - time.Duration(fraction*float64(period/10)))
	if at.Before(now) {
		at = now.Add(time.Duration(fraction * float64(period)))
		if !planned.IsZero() && planned.Before(at) {
			at = planned // the same period may be set each day
		}
	}
	return at.UTC()
}
