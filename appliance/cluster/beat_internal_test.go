package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestWhoLeadsIsListenedTo(t *testing.T) {
	leads := func(created, said int64, value string) lead {
		return lead{key: &mvccpb.KeyValue{Key: []byte("leader/1/beats"), CreateRevision: created}, beat: &mvccpb.KeyValue{Value: []byte(value), ModRevision: said}}
	}
	silent, old := leads(7, 7, ""), leads(7, 6, "3")
	silent.beat, old.key.Key = nil, []byte("leader/1")
	type look struct {
		at   time.Duration
		of   lead
		left time.Duration
		says bool
	}
	const patience = LeaseTime + beatMargin
	for name, looks := range map[string][]look{
		"it says so": {
			{0, leads(7, 8, "7"), patience, true}, {time.Second, leads(7, 9, "7"), patience, true}, {4 * time.Second, leads(7, 10, "7"), patience, true},
		},
		"it says nothing any more": {
			{0, leads(7, 8, "7"), patience, true}, {time.Second, leads(7, 8, "7"), patience - time.Second, true}, {patience, leads(7, 8, "7"), 0, true},
			{2 * patience, leads(7, 8, "7"), 0, true}, {2 * patience, leads(7, 9, "7"), patience, true},
		},
		"it is of a version that does not say so": {{0, old, 0, false}, {time.Hour, old, 0, false}},
		"nobody ever has, or there is no room":    {{0, silent, patience, true}, {patience, silent, 0, true}, {patience, leads(7, 8, ""), patience, true}},
		"it has taken the place of another, and comes to say so": {
			{0, leads(7, 8, "7"), patience, true}, {time.Hour, leads(9, 10, ""), patience, true}, {time.Hour + patience/2, leads(9, 11, "9"), patience, true},
		},
		"it has taken the place of another, and does not": {{0, leads(9, 10, ""), patience, true}, {patience, leads(9, 10, ""), 0, true}},
		"nobody leads": {{0, lead{}, 0, false}},
	} {
		var l listener
		began := time.Now()
		for i, look := range looks {
			if left, says := l.patience(began.Add(look.at), look.of); left != look.left || says != look.says {
				t.Errorf("%s, look %d: %s, %v; want %s, %v", name, i, left, says, look.left, look.says)
			}
		}
	}
}

// Who leads says so whether or not what it said before has come through, and ends when that was too long ago.
func TestItIsSaidAgainAndAgain(t *testing.T) {
	type end struct {
		cause error
		after time.Duration
	}
	never := end{nil, time.Hour} // that is when the test ends it
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		takes func(asked time.Duration) (time.Duration, error) // by when it was asked
		heard time.Duration                                    // -1: never
		end   end
	}{
		"at once":                      {func(time.Duration) (time.Duration, error) { return 0, nil }, 0, never},
		"each write takes a second":    {func(time.Duration) (time.Duration, error) { return time.Second, nil }, time.Second, never},
		"each takes nearly its time":   {func(time.Duration) (time.Duration, error) { return LeaseTime - beatEvery - 1, nil }, LeaseTime - beatEvery - 1, never},
		"each takes longer":            {func(time.Duration) (time.Duration, error) { return LeaseTime - beatEvery + 1, nil }, LeaseTime - beatEvery + 1, end{ErrLeaseLost, LeaseTime}},
		"each takes too long":          {func(time.Duration) (time.Duration, error) { return LeaseTime, nil }, -1, end{ErrLeaseLost, LeaseTime}},
		"the first takes too long":     {first(LeaseTime, nil), beatEvery, never},
		"it never comes through":       {func(time.Duration) (time.Duration, error) { return 0, broken }, -1, end{ErrLeaseLost, LeaseTime}},
		"nothing does after a minute":  {until(time.Minute, time.Hour, nil), 0, end{ErrLeaseLost, time.Minute - beatEvery + LeaseTime}},
		"another leads":                {until(time.Minute, 0, ErrDeposed), 0, end{ErrDeposed, time.Minute}},
		"another leads from the start": {until(0, 100*time.Millisecond, ErrDeposed), -1, end{ErrDeposed, 100 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began, heard := time.Now(), time.Duration(-1)
				var got end
				keepSaying(ctx, func(ctx context.Context) (time.Time, error) {
					asked := time.Now()
					takes, err := tc.takes(asked.Sub(began))
					select {
					case <-time.After(takes):
						return asked, err
					case <-ctx.Done():
						return time.Time{}, context.Cause(ctx)
					}
				}, func() { heard = time.Since(began) }, func(cause error) { got.cause = cause })
				got.after = time.Since(began)
				if got != tc.end || heard != tc.heard {
					t.Errorf("it ends for %v after %s, and was heard after %s; want %v, %s, %s", got.cause, got.after, heard, tc.end.cause, tc.end.after, tc.heard)
				}
			})
		})
	}
}

// first is what the first question comes to; all others are answered at once.
func first(takes time.Duration, err error) func(time.Duration) (time.Duration, error) {
	return func(asked time.Duration) (time.Duration, error) {
		if asked == 0 {
			return takes, err
		}
		return 0, nil
	}
}

// until is what questions from then on come to; those before are answered at once.
func until(then, takes time.Duration, err error) func(time.Duration) (time.Duration, error) {
	return func(asked time.Duration) (time.Duration, error) {
		if asked < then {
			return 0, nil
		}
		return takes, err
	}
}

// A reign is over by the clock where nothing has come through, whatever was asked in which order; one that is only named is not.
func TestAReignIsOver(t *testing.T) {
	began := time.Now()
	r := Reign{said: &utterance{at: began}}
	r.said.note(began.Add(time.Second))
	r.said.note(began.Add(time.Second / 2)) // which was answered later
	for after, want := range map[time.Duration]bool{0: false, LeaseTime: false, LeaseTime + time.Second - 1: false, LeaseTime + time.Second: true} {
		if got := r.Over(began.Add(after)); got != want {
			t.Errorf("after %s it is over: %t", after, got)
		}
	}
	if (Reign{}).Over(began) {
		t.Error("what is only named is over")
	}
}
