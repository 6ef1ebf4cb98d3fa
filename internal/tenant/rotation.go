package tenant

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// RotationAt returns when a tenant's key, which was made at since, is rotated next:
// in the last tenth of the period, at a time that depends on the id, so that tenants
// of the same age are not rotated together. If that time is over, as when a period is
// set for the first time, it is a time that depends on the id within a period from now
// on, and no later than planned. A zero planned: no rotation was planned.
func RotationAt(id ID, since, planned time.Time, period time.Duration, now time.Time) time.Time {
	if since.After(now) {
		since = now // the clock was ahead
	}
	sum := sha256.Sum256([]byte(id))
	fraction := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	at := since.Add(period - time.Duration(fraction*float64(period/10)))
	if at.Before(now) {
		at = now.Add(time.Duration(fraction * float64(period)))
		if !planned.IsZero() && planned.Before(at) {
			at = planned // setting the same period each day must not defer it
		}
	}
	return at.UTC()
}
