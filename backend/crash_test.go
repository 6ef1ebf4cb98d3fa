package backend_test

import (
	"fmt"
	"iter"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
)

// full says to take every storage operation, switch and trouble, and not some of
// them.
var full = longtest.Runs("test-full")

// crashStride is the distance between the storage operations at which tests
// kill the engine.
func crashStride() int {
	if full {
		return 1
	}
	return 10
}

// A crash is a storage operation at which the process dies, or at which storage
// fails: before it takes effect, or after.
type crash struct {
	operation   int // counted from 1
	afterEffect bool
	missed      bool // the engine made fewer operations
}

func (c *crash) String() string {
	return fmt.Sprintf("killed at operation %d, after effect %v", c.operation, c.afterEffect)
}

// misses reports whether e made too few operations to come to this one. There
// are no later ones then.
func (c *crash) misses(e *enginetest.Engine) bool {
	c.missed = len(e.Storage.Operations()) < c.operation
	return c.missed
}

// eachCrash yields a crash before and one after every storage operation, or
// at every tenth in make test, until one misses.
func eachCrash() iter.Seq[*crash] {
	return func(yield func(*crash) bool) {
		for i, afterEffect := range []bool{false, true} {
			for c := range crashesFrom(i, afterEffect) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// crashesFrom yields the crashes of one kind. The offset keeps the operations
// of several kinds apart where not all are taken.
func crashesFrom(offset int, afterEffect bool) iter.Seq[*crash] {
	return func(yield func(*crash) bool) {
		stride := crashStride()
		for n := 1 + offset*stride/4%stride; ; n += stride {
			c := &crash{operation: n, afterEffect: afterEffect}
			if !yield(c) || c.missed {
				return
			}
		}
	}
}
