package containerd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u uses
		now := time.Now()
		first, err := u.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		second, err := u.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := u.removeUnused("a", now); ok {
			t.Error("what is used may be removed")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := u.remove(short, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		removing := make(chan func())
		go func() {
			done, err := u.remove(t.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			removing <- done
		}()
		first()
		synctest.Wait()
		select {
		case <-removing:
			t.Fatal("removed while one uses it")
		default:
		}
		second()
		done := <-removing
		taken := make(chan func())
		go func() {
			release, err := u.take(t.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			taken <- release
		}()
		synctest.Wait()
		select {
		case <-taken:
			t.Fatal("taken while it is removed")
		default:
		}
		done()
		release := <-taken
		u.ask("a", now)
		release()
		if _, ok := u.removeUnused("a", now.Add(keptFor-1)); ok {
			t.Error("what was just asked for may be removed")
		}
		done, ok := u.removeUnused("a", now.Add(keptFor))
		if !ok {
			t.Fatal("it may not be removed")
		}
		done()
		if len(u.byRef) > 0 {
			t.Errorf("%v is remembered", u.byRef)
		}
	})
}
