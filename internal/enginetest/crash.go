package enginetest

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// A Failure is a storage operation at which storage fails, and how.
type Failure struct {
	Operation   int  // counted from 1
	AfterEffect bool // the operation takes effect, and only its answer is lost
	Once        bool // later operations succeed
	Survived    bool // the process lives on; otherwise the engine is made anew

	Of  storagetest.Operation // the operation
	Err error                 // what the act returned
}

// String says where and how storage failed.
func (f Failure) String() string {
	how := "killed"
	if f.Survived {
		how = "storage goes away"
	}
	if f.Once {
		how += ", once,"
	}
	return fmt.Sprintf("%s at operation %d (%v), after effect %v, answered %v", how, f.Operation, f.Of, f.AfterEffect, f.Err)
}

// EachCrash kills the engine before and after each storage operation of act and
// makes it anew over what is stored. It begins with a setup each time, and ends with
// a check. It returns how many operations act makes when nothing happens.
//
// Without make test-full it makes some twenty runs, and leaves out at most nine
// operations between two.
func EachCrash(setup func() *Engine, act func(*Engine) error, check func(*Engine, Failure)) (operations int) {
	return eachFailure([]Failure{{}, {AfterEffect: true}}, setup, act, check)
}

// EachOutage is EachCrash of storage alone: it fails from each operation on until act
// has ended, and the process lives on.
func EachOutage(setup func() *Engine, act func(*Engine) error, check func(*Engine, Failure)) (operations int) {
	return eachFailure([]Failure{{Survived: true}, {Survived: true, AfterEffect: true}}, setup, act, check)
}

// EachFailure is EachCrash, and also has each operation fail alone.
func EachFailure(setup func() *Engine, act func(*Engine) error, check func(*Engine, Failure)) (operations int) {
	return eachFailure([]Failure{
		{Once: true, Survived: true}, {Once: true, Survived: true, AfterEffect: true}, {}, {AfterEffect: true},
	}, setup, act, check)
}

func eachFailure(kinds []Failure, setup func() *Engine, act func(*Engine) error, check func(*Engine, Failure)) int {
	e := setup()
	e.Storage.Reset()
	err := act(e)
	operations := len(e.Storage.Operations())
	if operations == 0 {
		e.T.Fatalf("nothing can fail: the act makes no storage operation, and answers %v", err)
	}
	stride := 1
	if !Full {
		stride = min(10, (operations*len(kinds)+19)/20)
	}
	for i, f := range kinds {
		// The kinds begin at different operations where not all are taken.
		for f.Operation = 1 + i*stride/4%stride; Full || f.Operation <= operations; f.Operation += stride {
			e := setup()
			if f.Once {
				e.Storage.FailAt(f.Operation, f.AfterEffect)
			} else {
				e.Storage.DieAt(f.Operation, f.AfterEffect)
			}
			f.Err = act(e)
			made := e.Storage.Operations()
			e.Storage.Reset()
			if len(made) < f.Operation {
				break
			}
			f.Of = made[f.Operation-1]
			if !f.Survived {
				e.Restart()
			}
			check(e, f)
		}
	}
	return operations
}

// Try is Do for a caller that looks at the error only.
func (e *Engine) Try(op logical.Operation, path string, data map[string]any) error {
	_, err := e.Do(op, path, data)
	return err
}

// TrySweep sweeps and returns the error.
func (e *Engine) TrySweep() error { return e.Sweep(context.Background()) }
