package due

import (
	"context"
	"maps"
	"strconv"
)

const (
	// watermarkLag is by how many minutes the stored watermark may lag behind. A
	// restart lists that many empty minutes again, and an idle mount writes that
	// much less.
	watermarkLag = 60
	// lostWatermark is how many minutes are looked at again if the watermark cannot be
	// read: a week's.
	lostWatermark = 7 * 24 * 60
)

func (x *Index) watermark() int64 {
	w := x.passed
	for minute := range x.stuck {
		w = min(w, minute-1)
	}
	return w
}

// load reads the watermark, once, and reports whether there is one. If not, nothing was
// ever scheduled: load makes one if create says so, for before the first entry all minutes
// up to now are empty. A watermark that lies in the future, because the clock was set back, is set back too: what
// is scheduled now must not wait for the clock to come there again.
func (x *Index) load(ctx context.Context, create bool) (found bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := minuteOf(x.now())
	if standby := x.isStandby(); x.standby != standby {
		x.loaded, x.standby = false, standby
	}
	if !x.loaded {
		stored, err := x.storage.Get(ctx, WatermarkKey)
		switch {
		case err != nil:
			return false, err
		case stored == nil && !create:
			return false, nil
		case stored == nil:
			x.passed, x.stuck = now-1, map[int64]bool{}
			err := x.storeWatermark(ctx)
			x.loaded = err == nil
			return x.loaded, err
		}
		minute, err := strconv.ParseInt(string(stored.Value), 10, 64)
		if err != nil {
			minute = now - lostWatermark
		}
		x.loaded, x.passed, x.saved, x.stuck = true, minute, minute, map[int64]bool{}
	}
	if x.passed > now+2 {
		// What is left undone before now stays known.
		maps.DeleteFunc(x.stuck, func(minute int64, _ bool) bool { return minute >= now })
		x.passed, x.setBack = now-1, true
		return true, x.storeWatermark(ctx)
	}
	return true, nil
}

// storeWatermark is called with mu held.
func (x *Index) storeWatermark(ctx context.Context) error {
	w := x.watermark()
	err := x.put(ctx, WatermarkKey, []byte(strconv.FormatInt(w, 10)))
	if err == nil {
		x.saved = w
	}
	return err
}

// ClockSetBack reports, once, that the watermark has shown the clock to have been set
// back: what was judged by it before may have been judged too soon.
func (x *Index) ClockSetBack() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.setBack
	x.setBack = false
	return was
}
