package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		by       backoff
		failures int
		ago      time.Duration
		want     time.Duration
	}{
		{perPair, 0, 0, 0},
		{perPair, 4, 0, 0},
		{perPair, 5, 0, time.Second},
		{perPair, 6, 0, 2 * time.Second},
		{perPair, 6, time.Second, time.Second},
		{perPair, 6, 3 * time.Second, 0},
		{perPair, 10, 0, 32 * time.Second},
		{perPair, 15, 0, 15 * time.Minute},
		{perPair, 1 << 40, 0, 15 * time.Minute},
		{perPair, 1 << 40, 24 * time.Hour, 0},
		{perPair, 1 << 40, -time.Hour, 15 * time.Minute}, // the clock was set back
		{perName, 19, 0, 0},
		{perName, 20, 0, time.Second},
		{perName, 1000, 0, time.Minute},
		{perAddress, 49, 0, 0},
		{perAddress, 1000, 59 * time.Second, time.Second},
	} {
		if got := c.by.wait(c.failures, noon.Add(-c.ago), noon); got != c.want {
			t.Errorf("%+v after %d failures, %v ago: %v, want %v", c.by, c.failures, c.ago, got, c.want)
		}
	}
}

func FuzzBackoff(f *testing.F) {
	f.Add(5, int64(0))
	f.Add(1<<30, int64(time.Hour))
	f.Add(-1, int64(-1))
	f.Fuzz(func(t *testing.T, failures int, ago int64) {
		for _, by := range []backoff{perPair, perName, perAddress} {
			last := noon.Add(-time.Duration(ago))
			got := by.wait(failures, last, noon)
			switch {
			case got < 0 || got > by.most:
				t.Errorf("%d failures, %v ago: %v", failures, time.Duration(ago), got)
			case failures < by.free && got != 0:
				t.Errorf("%d failures are free, and wait %v", failures, got)
			case failures < 1<<62 && by.wait(failures+1, last, noon) < got:
				t.Errorf("one failure more than %d, and less to wait", failures)
			case got > 0 && by.wait(failures, last, noon.Add(got)) > 0 && ago >= 0:
				t.Errorf("after %v it is still locked", got)
			}
		}
	})
}

// TestLockOut: who guesses waits, from there; who is at home does not.
func TestLockOut(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, true)
	w.logIn(t, ada) // from 192.0.2.7
	try := func(address, password string) error {
		_, err := w.LogIn(t.Context(), Try{Name: ada, Password: password, From: From{Address: address}})
		return err
	}
	for i := range 5 {
		if err := try("198.51.100.1", "wrong"); !errors.Is(err, ErrWrong) {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	before := len(w.hasher.verified)
	for i, want := range []bool{false, true, true} {
		err := try("198.51.100.1", secretOfAda)
		locked, is := errors.AsType[*Locked](err)
		if !is || locked.After != time.Second || locked.Again != want || !errors.Is(err, ErrLocked) {
			t.Errorf("try %d: %+v", i, err)
		}
	}
	if len(w.hasher.verified) != before {
		t.Error("a password was looked at for who has to wait")
	}
	if err := try("198.51.100.2", secretOfAda); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	w.pass(time.Second)
	if err := try("198.51.100.1", "wrong"); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	if locked, is := errors.AsType[*Locked](try("198.51.100.1", "wrong")); !is || locked.After != 2*time.Second || locked.Again {
		t.Errorf("%+v", locked)
	}
	w.pass(2 * time.Second)
	if err := try("198.51.100.1", secretOfAda); err != nil {
		t.Errorf("the right one, after the wait: %v", err)
	}
	// From very many places: the name waits, but not where its user has been before.
	for i := range 100 {
		_ = try(fmt.Sprintf("203.0.113.%d", i), "wrong")
	}
	if err := try("203.0.113.200", secretOfAda); !errors.Is(err, ErrLocked) {
		t.Errorf("guessed at from everywhere: %v", err)
	}
	if err := try("192.0.2.7", secretOfAda); err != nil {
		t.Errorf("the owner is locked out: %v", err)
	}
	w.reopen(t)
	if err := try("192.0.2.7", secretOfAda); err != nil {
		t.Errorf("the owner is locked out after a restart: %v", err)
	}
}

func TestSpraying(t *testing.T) {
	l := newLockout()
	refused := 0
	for i := range 10_000 { // one place, as many names
		if _, err := l.try(fmt.Sprintf("name-%d", i), "2001:db8::"+fmt.Sprintf("%x", i), false, noon.Add(time.Duration(i)*time.Millisecond)); err != nil {
			refused++
		}
	}
	if refused < 9_900 {
		t.Errorf("of 10,000 tries from one network %d were refused", refused)
	}
	for i := range 10_000 { // as many places
		_, _ = l.try(fmt.Sprintf("name-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250), false, noon.Add(time.Duration(i)*time.Millisecond))
	}
	for name, table := range map[string]*tallies{"pairs": &l.pairs, "names": &l.names, "addresses": &l.addresses} {
		if len(table.of) > mostTallies {
			t.Errorf("%s: %d entries", name, len(table.of))
		}
	}
	_, _ = l.try("ada", "10.9.9.9", false, noon.Add(48*time.Hour))
	for i := range 2 * mostTallies {
		_, _ = l.try("x", fmt.Sprintf("10.1.%d.%d", i/250, i%250), true, noon.Add(48*time.Hour))
	}
	if len(l.names.of) > mostTallies {
		t.Errorf("%d names", len(l.names.of))
	}
}

func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "@": "@",
	} {
		if got := network(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// TestCodeIsNoFailure: who is asked for a code has done nothing wrong.
func TestCodeIsNoFailure(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	w.withTOTP(t)
	for i := range 50 {
		if _, err := w.LogIn(t.Context(), Try{Name: ada, Password: secretOfAda, From: From{Address: "198.51.100.1"}}); !errors.Is(err, ErrCode) {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	if len(w.lockout.pairs.of)+len(w.lockout.names.of)+len(w.lockout.addresses.of) != 0 {
		t.Errorf("%+v", w.lockout)
	}
}

// slow is a hasher whose passwords take until they are let go.
type slow struct {
	counted
	going chan struct{}
	in    chan struct{}
}

func (s *slow) Verify(encoded, password string) (good, stale bool) {
	s.in <- struct{}{}
	<-s.going
	return s.counted.Verify(encoded, password)
}

// TestFlood: of very many at once two are looked at, few wait, and the others are sent away and cost nothing.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := &slow{counted: counted{effort: "1"}, going: make(chan struct{}), in: make(chan struct{}, 10_000)}
		w.press = newPress(h)
		var mu sync.Mutex
		var busy, wrong, gone int
		leaving, leave := context.WithCancelCause(t.Context())
		var all sync.WaitGroup
		for i := range 1000 {
			ctx := t.Context()
			if i == 5 {
				ctx = leaving
			}
			all.Go(func() {
				_, err := w.LogIn(ctx, Try{Name: fmt.Sprintf("n%d", i), Password: "x", From: From{Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250)}})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, ErrBusy):
					busy++
				case errors.Is(err, ErrWrong):
					wrong++
				case errors.Is(err, errLeft):
					gone++
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if len(h.in) != atOnce || busy != 1000-atOnce-waiting {
			t.Errorf("%d are looked at at once, %d were sent away", len(h.in), busy)
		}
		leave(errLeft)
		synctest.Wait()
		close(h.going)
		all.Wait()
		if wrong+gone != atOnce+waiting {
			t.Errorf("%d were looked at, %d left", wrong, gone)
		}
		if n := len(w.lockout.pairs.of); n != wrong {
			t.Errorf("%d are held to have tried, %d have", n, wrong)
		}
	})
}

var errLeft = errors.New("left")

func TestPasswords(t *testing.T) {
	for password, good := range map[string]bool{
		"seven birds on a wire": true, "kqzvwxmpth": true, "ünïcödé-wörd": true, "비밀번호는길게써야합니다": true,
		"": false, "short": false, "123456789": false, "password123": false, "Password123!": false, "aaaaaaaaaaaa": false, "abababababab": false,
		"qwertyuiop": false, "ada-lovelace": false, "Ada-Lovelace1": false, string(make([]byte, 1025)): false,
	} {
		if err := CheckPassword("ada-lovelace", password); (err == nil) != good || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q: %v", password, err)
		}
	}
}

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p := Generate()
		if seen[p] || CheckPassword("admin", p) != nil {
			t.Fatal(p)
		}
		seen[p] = true
	}
}

func TestArgon2(t *testing.T) {
	small := Argon2{Memory: 64, Time: 1, Threads: 1}
	kept := small.Hash("seven birds")
	for _, c := range []struct {
		with              Argon2
		encoded, password string
		good, stale       bool
	}{
		{small, kept, "seven birds", true, false},
		{small, kept, "seven bird", false, false},
		{Argon2{Memory: 128, Time: 1, Threads: 1}, kept, "seven birds", true, true},
		{small, small.Nobody(), "seven birds", false, false},
		{small, "", "", false, false},
		{small, "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "x", false, false},
		{small, "$2y$10$abcdefghijklmnopqrstuv", "x", false, false},
	} {
		if good, stale := c.with.Verify(c.encoded, c.password); good != c.good || stale != c.stale {
			t.Errorf("%s of %q: %v %v", c.password, c.encoded, good, stale)
		}
	}
	if again := small.Hash("seven birds"); again == kept {
		t.Error("no salt")
	}
	if d := DefaultArgon2(); d.Memory < 19<<10 || d.Time < 2 {
		t.Errorf("less than is advised: %+v", d)
	}
}

func FuzzArgon2(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=64,t=1,p=0$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, encoded string) {
		a, salt, key, ok := decodeArgon2(encoded)
		if ok && (a.Memory > mostMemory || a.Time == 0 || a.Threads == 0 || len(salt) > mostKey || len(key) > mostKey) {
			t.Errorf("%+v", a)
		}
	})
}

// TestMoreEffort: who logs in with a password that was hashed with less effort than today's has it hashed anew.
func TestMoreEffort(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	w.hasher.effort = "2"
	w.logIn(t, ada)
	if got := w.rows.users[ada].Password; got != "2:"+secretOfAda {
		t.Errorf("%q", got)
	}
	hashed := w.hasher.hashed
	w.logIn(t, ada)
	if w.hasher.hashed != hashed {
		t.Error("hashed again for nothing")
	}
	if !slices.Equal(w.rows.users[ada].Known, []string{"192.0.2.7"}) {
		t.Errorf("%v", w.rows.users[ada].Known)
	}
}
