package runtimetest_test

import (
	"testing"

	"github.com/palisade-run/palisade/sessions/runtimetest"
)

func TestFakeIsARuntime(t *testing.T) {
	runtimetest.Run(t, runtimetest.Harness{
		New: func(*testing.T) func() runtimetest.Box {
			f := runtimetest.NewFake()
			return func() runtimetest.Box { return f }
		},
		Image:   "any",
		Program: runtimetest.Argv,
	})
}
