package repeat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func guard(window time.Duration) *Guard {
	g := &Guard{}
	g.Set(Settings{Window: window})
	return g
}

// enter asks, and fails the test where that fails.
func enter(t *testing.T, g *Guard, key Key) *Turn {
	t.Helper()
	turn, err := g.Enter(t.Context(), time.Now(), key)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// finish answers a turn that is the first.
func finish(t *testing.T, turn *Turn, status int, body string) {
	t.Helper()
	if !turn.First() {
		t.Fatal("not the first")
	}
	turn.Begin(status, []Field{{"Content-Type", "application/json"}}, -1)
	turn.Write([]byte(body[:len(body)/2]))
	turn.Write([]byte(body[len(body)/2:]))
	turn.End(time.Now())
	turn.Drop()
}

// result is what came of an Enter.
type result struct {
	turn *Turn
	err  error
}

// later enters in the background, and returns once that waits.
func later(ctx context.Context, g *Guard, key Key) <-chan result {
	out := make(chan result, 1)
	go func() {
		turn, err := g.Enter(ctx, time.Now(), key)
		out <- result{turn, err}
	}()
	synctest.Wait()
	return out
}

func TestKeysTellRequestsApart(t *testing.T) {
	base := []string{"tok-1", "POST", "/v1/chat/completions", "application/json"}
	body := []byte(`{"model":"m"}`)
	keys := map[Key]string{KeyOf(body, base...): "the request"}
	for name, k := range map[string]Key{
		"another token":       KeyOf(body, "tok-2", "POST", "/v1/chat/completions", "application/json"),
		"another address":     KeyOf(body, "tok-1", "POST", "/v1/completions", "application/json"),
		"another body":        KeyOf([]byte(`{"model":"n"}`), base...),
		"parts cut elsewhere": KeyOf(body, "tok-1P", "OST", "/v1/chat/completions", "application/json"),
		"a part in the body":  KeyOf(append([]byte("application/json"), body...), "tok-1", "POST", "/v1/chat/completions", ""),
		"a long part":         KeyOf(body, string(bytes.Repeat([]byte("x"), 10_000))),
	} {
		if other, taken := keys[k]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[k] = name
	}
	if KeyOf(body, base...) != KeyOf(bytes.Clone(body), base...) {
		t.Error("the same request has two keys")
	}
}

func TestARepeatedRequestIsAnsweredFromTheFirstOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, key := guard(10*time.Second), KeyOf([]byte("a"))
		finish(t, enter(t, g, key), 200, "the answer")
		time.Sleep(9 * time.Second)
		a := enter(t, g, key).Answer()
		if a == nil || string(a.Body) != "the answer" || a.Status != 200 || a.Header[0].Value != "application/json" {
			t.Fatalf("%+v", a)
		}
		if turn := enter(t, g, KeyOf([]byte("b"))); !turn.First() {
			t.Error("another request is answered from this one")
		}
		// Being asked for does not make it last.
		time.Sleep(time.Second)
		if turn := enter(t, g, key); !turn.First() {
			t.Errorf("after the window: %+v", turn)
		}
	})
}

func TestWhatIsOldIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(10 * time.Second)
		for i := range 5 {
			finish(t, enter(t, g, KeyOf(fmt.Append(nil, i))), 200, "x")
			time.Sleep(3 * time.Second)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := g.Stats(); s.Answers != 0 || s.Bytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestThoseThatComeMeanwhileGetTheSameAnswer(t *testing.T) {
	for _, status := range []int{200, 400, 429, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			g, key := guard(10*time.Second), KeyOf([]byte("a"))
			first := enter(t, g, key)
			a, b := later(t.Context(), g, key), later(t.Context(), g, key)
			if s := g.Stats(); s.Waiting != 2 {
				t.Errorf("%+v", s)
			}
			finish(t, first, status, "the answer")
			for _, c := range []<-chan result{a, b} {
				if r := <-c; r.err != nil || r.turn.Answer() == nil || r.turn.Answer().Status != status {
					t.Errorf("%+v", r)
				}
			}
			if kept := enter(t, g, key).Answer() != nil; kept != (status < 429) {
				t.Errorf("%d is kept: %t", status, kept)
			}
		})
	}
}

func TestTheNextOneTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, key := guard(10*time.Second), KeyOf([]byte("a"))
		first := enter(t, g, key)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := later(ctx, g, key)
		a, b := later(t.Context(), g, key), later(t.Context(), g, key)
		cancel(errors.New("went"))
		if r := <-gone; r.err == nil || r.err.Error() != "went" {
			t.Errorf("%+v", r)
		}
		first.Begin(200, nil, -1)
		first.Write([]byte("half of it"))
		first.Drop()
		second := <-a
		if !second.turn.First() {
			t.Fatalf("%+v", second)
		}
		finish(t, second.turn, 200, "whole")
		if r := <-b; r.turn.Answer() == nil || string(r.turn.Answer().Body) != "whole" {
			t.Errorf("%+v", r)
		}
		if s := g.Stats(); s.Waiting != 0 || len(g.running) != 0 {
			t.Errorf("%+v, %d run", s, len(g.running))
		}
	})
}

func TestWhoHasGoneIsNotTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, key := guard(10*time.Second), KeyOf([]byte("a"))
		first := enter(t, g, key)
		ctx, cancel := context.WithCancel(t.Context())
		gone := later(ctx, g, key)
		next := later(t.Context(), g, key)
		cancel()
		first.Drop() // before the one that has gone has seen it
		<-gone
		if r := <-next; !r.turn.First() {
			t.Errorf("%+v", r)
		}
	})
}

func TestAnswersThatAreNotForOthers(t *testing.T) {
	for name, ends := range map[string]func(*Turn){
		"said to be large": func(t *Turn) { t.Begin(200, nil, mostAnswer+1) },
		"grows large": func(t *Turn) {
			t.Begin(200, nil, -1)
			for range 3 {
				t.Write(make([]byte, mostAnswer/2))
			}
		},
		"a stream after all": func(t *Turn) { t.Begin(200, nil, -1); t.Alone() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, key := guard(10*time.Second), KeyOf([]byte("a"))
				first := enter(t, g, key)
				other := later(t.Context(), g, key)
				ends(first)
				if r := <-other; r.err != nil || r.turn.First() || r.turn.Answer() != nil {
					t.Errorf("the one that waits: %+v", r)
				}
				first.Write([]byte("more"))
				first.End(time.Now())
				if s := g.Stats(); s.Answers != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestAnAnswerThatNeverBeganIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, key := guard(10*time.Second), KeyOf([]byte("a"))
		first := enter(t, g, key)
		other := later(t.Context(), g, key)
		first.End(time.Now())
		if r := <-other; !r.turn.First() {
			t.Errorf("%+v", r)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	g, now := &Guard{}, time.Unix(1000, 0)
	g.Set(Settings{Window: time.Hour, Bytes: 100_000})
	keep := func(i int) {
		turn, err := g.Enter(t.Context(), now, KeyOf(fmt.Append(nil, i)))
		if err != nil {
			t.Fatal(err)
		}
		if turn.Answer() == nil {
			turn.Begin(200, nil, 9000)
			turn.Write(make([]byte, 9000))
			turn.End(now)
		}
	}
	for i := range 100 {
		keep(i)
		keep(0) // the one in use stays
	}
	s := g.Stats()
	if s.Bytes > 100_000 || s.Answers != 10 || s.Hits < 99 {
		t.Errorf("%+v", s)
	}
	g.Set(Settings{Window: time.Hour, Bytes: 20_000})
	if s := g.Stats(); s.Bytes > 20_000 || s.Answers != 2 {
		t.Errorf("with less: %+v", s)
	}
	g.Set(Settings{})
	if s := g.Stats(); s.Bytes != 0 || s.Answers != 0 {
		t.Errorf("off: %+v", s)
	}
}

func TestAGuardThatIsOffGuardsNothing(t *testing.T) {
	g, key := &Guard{}, Key{}
	for range 2 {
		if turn := enter(t, g, key); turn.First() || turn.Answer() != nil {
			t.Errorf("%+v", turn)
		}
	}
	var none *Turn
	none.Begin(200, nil, 1)
	none.Write([]byte("x"))
	none.End(time.Now())
	none.Alone()
	none.Drop()
	if none.Answer() != nil || none.First() {
		t.Error("a service without a guard has a turn")
	}
}

func TestOnesSwitchedOffMeanwhileEndWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, key := guard(10*time.Second), KeyOf([]byte("a"))
		first := enter(t, g, key)
		other := later(t.Context(), g, key)
		g.Set(Settings{})
		finish(t, first, 200, "x")
		if r := <-other; r.turn.Answer() == nil {
			t.Errorf("%+v", r)
		}
		if s := g.Stats(); s.Answers != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTooManyAreToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, key := guard(10*time.Second), KeyOf([]byte("a"))
		first := enter(t, g, key)
		for range mostFollowers {
			go func() { _, _ = g.Enter(t.Context(), time.Now(), key) }()
		}
		synctest.Wait()
		if _, err := g.Enter(t.Context(), time.Now(), key); !errors.Is(err, ErrCrowded) {
			t.Error(err)
		}
		finish(t, first, 200, "x")
		synctest.Wait()
	})
}

// TestOneAnswerAtATimeByChance floods a guard with few questions of two tokens: the one that is asked never has two
// of the same at once, everybody gets the answer to the own question, and nobody waits for ever.
func TestOneAnswerAtATimeByChance(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 7))
			g := guard(20 * time.Millisecond)
			var busy [8]atomic.Int32
			var asked atomic.Int32
			var all sync.WaitGroup
			for range 400 {
				question := chance.IntN(len(busy))
				work, ends := time.Duration(chance.IntN(8))*time.Millisecond, chance.IntN(6)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+chance.IntN(40))*time.Millisecond)
				all.Go(func() {
					defer cancel()
					body := fmt.Append(nil, question%4)
					turn, err := g.Enter(ctx, time.Now(), KeyOf(body, fmt.Sprint("tok-", question/4)))
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						return
					}
					defer turn.Drop()
					if a := turn.Answer(); a != nil {
						if want := fmt.Sprint("answer ", question); string(a.Body) != want {
							t.Errorf("%q, want %q", a.Body, want)
						}
						return
					}
					if turn.First() {
						asked.Add(1)
						if busy[question].Add(1) > 1 {
							t.Errorf("question %d is asked twice at once", question)
						}
						time.Sleep(work)
						busy[question].Add(-1)
					}
					if ends > 0 {
						turn.Begin(200, nil, -1)
						turn.Write(fmt.Append(nil, "answer ", question))
						turn.End(time.Now())
					}
				})
				if chance.IntN(4) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			all.Wait()
			if s := g.Stats(); s.Waiting != 0 || len(g.running) != 0 || asked.Load() > 300 {
				t.Errorf("%+v, %d run, %d of 400 were asked", s, len(g.running), asked.Load())
			}
		})
	}
}

func BenchmarkKeyOf1KB(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for b.Loop() {
		KeyOf(body, "tok-123456789012", "POST", "/v1/chat/completions", "application/json", "*/*", "gzip")
	}
}

func BenchmarkHit(b *testing.B) {
	g, key, now := guard(time.Hour), Key{}, time.Now()
	turn, _ := g.Enter(b.Context(), now, key)
	turn.Begin(200, nil, 1)
	turn.End(now)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = g.Enter(b.Context(), now, key)
	}
}
