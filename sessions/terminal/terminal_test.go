package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

// within runs what is to be run in a session whose terminals are all h, which has no process around it.
func within(h *holder.Held) Exec {
	return func(ctx context.Context, spec sessions.ExecSpec) (sessions.Exit, error) {
		near, far := net.Pipe()
		defer near.Close()
		defer context.AfterFunc(ctx, func() { near.Close() })()
		go h.Serve(far)
		_, _ = near.Write(holder.AppendFrame(nil, holder.KindHello, holder.Window{Rows: 24, Columns: 80}.Body()))
		go func() { _, _ = io.Copy(near, spec.Stdin) }()
		_, _ = io.Copy(spec.Stdout, near)
		return sessions.Exit{Reason: sessions.ExitCompleted}, ctx.Err()
	}
}

func attach(t *testing.T, k *Keeper, exec Exec) *View {
	t.Helper()
	v, err := k.Attach(Request{Session: "s", Name: "main", Size: sessions.Window{Rows: 24, Columns: 80}, Exec: exec})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestThereAndBack passes much more through each way than may be under way.
func TestThereAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, h := NewKeeper(), holder.New(holder.Window{})
		v := attach(t, k, within(h))
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() {
			_, _ = io.Copy(h, h) // what is typed is shown
		}()
		go func() {
			if n, err := v.Write(big); n != len(big) || err != nil {
				t.Errorf("%d typed, %v", n, err)
			}
		}()
		got := make([]byte, len(big))
		if _, err := io.ReadFull(v, got); err != nil || !bytes.Equal(got, big) {
			t.Errorf("what comes back is not what was typed: %v", err)
		}
		v.Resize(sessions.Window{Rows: 50, Columns: 132})
		if size := <-h.Sizes(); size.Rows != 24 {
			t.Errorf("%+v", size)
		}
		if size := <-h.Sizes(); size.Rows != 50 {
			t.Errorf("%+v", size)
		}
		h.Exit(syscall.WaitStatus(3 << 8))
		if rest, err := io.ReadAll(v); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		if exit, over, err := v.End(); exit.Code != 3 || !over || err != nil {
			t.Errorf("%+v %t %v", exit, over, err)
		}
		v.Close()
		k.End(t.Context(), errors.New("over"))
	})
}

// TestItGoesOn: who leaves, or is left by the appliance, ends nothing.
func TestItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, h := NewKeeper(), holder.New(holder.Window{})
		v := attach(t, k, within(h))
		_, _ = io.WriteString(h, "marked")
		if p := make([]byte, 16); !reads(v, p, "marked") {
			t.Errorf("%q", p)
		}
		v.Close()
		if _, err := v.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if _, err := v.Write([]byte("x")); err == nil {
			t.Error("it types on")
		}
		if _, over, _ := v.End(); over {
			t.Error("it ended with who watched it")
		}
		v = attach(t, k, within(h))
		synctest.Wait()
		k.End(t.Context(), errors.New("the appliance stops"))
		if all, err := io.ReadAll(v); string(all) != "marked" || err != nil {
			t.Errorf("%q, %v", all, err)
		}
		if _, _, err := v.End(); !errors.Is(err, sessions.ErrUnavailable) || !strings.Contains(err.Error(), "the appliance stops") {
			t.Errorf("%v", err)
		}
		if _, err := k.Attach(Request{Session: "s", Name: "main"}); !errors.Is(err, sessions.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		next := NewKeeper() // the next daemon's
		v = attach(t, next, within(h))
		if p := make([]byte, 16); !reads(v, p, "marked") {
			t.Errorf("%q", p)
		}
		next.End(t.Context(), errors.New("over"))
		h.Exit(0)
	})
}

func reads(v *View, p []byte, want string) bool {
	n, err := v.Read(p)
	return err == nil && string(p[:n]) == want
}

// TestWhatSessionsSay is not believed.
func TestWhatSessionsSay(t *testing.T) {
	frame := holder.AppendFrame
	says := func(exit sessions.Exit, err error, errs string, frames ...[]byte) Exec {
		return func(ctx context.Context, spec sessions.ExecSpec) (sessions.Exit, error) {
			for _, f := range frames {
				if _, err := spec.Stdout.Write(f); err != nil {
					<-ctx.Done() // it has more to say, and nobody hears it
					break
				}
			}
			_, _ = io.WriteString(spec.Stderr, errs)
			return exit, err
		}
	}
	flood := make([][]byte, 10)
	for i := range flood {
		flood[i] = frame(nil, holder.KindOutput, make([]byte, holder.MaxFrame))
	}
	done := sessions.Exit{Reason: sessions.ExitCompleted}
	for name, c := range map[string]struct {
		exec  Exec
		kind  error
		words string
	}{
		"more than was allowed":       {says(done, nil, "", flood...), sessions.ErrUnavailable, "none of the terminal's frames"},
		"a frame of no bounds":        {says(done, nil, "", []byte{'o', 0xff, 0xff, 0}), sessions.ErrUnavailable, "none of the terminal's frames"},
		"an exit of nothing":          {says(done, nil, "", frame(nil, holder.KindExit, nil)), sessions.ErrUnavailable, "none of the terminal's frames"},
		"taken what was never typed":  {says(done, nil, "", frame(nil, holder.KindTaken, holder.Number(1))), sessions.ErrUnavailable, "none of the terminal's frames"},
		"a failure without a word":    {says(done, nil, "", frame(nil, holder.KindFailure, nil)), sessions.ErrUnavailable, "none of the terminal's frames"},
		"a failure that plays tricks": {says(done, nil, "", frame(nil, holder.KindFailure, []byte("?\x1b[2Jboo"))), sessions.ErrUnavailable, " [2Jboo"},
		"no shell":                    {says(done, nil, "", frame(nil, holder.KindFailure, []byte("nsh: not found"))), ErrNoShell, "sh: not found"},
		"too many":                    {says(done, nil, "", frame(nil, holder.KindFailure, []byte("mthere are 16"))), sessions.ErrForbidden, "there are 16"},
		"it was ended":                {says(sessions.Exit{Reason: sessions.ExitKilled, Code: 137}, nil, ""), sessions.ErrUnavailable, "ended"},
		"of an earlier time":          {says(sessions.Exit{Reason: sessions.ExitStartFailed, Message: "Command /.palisade/init: not found in the session."}, nil, ""), sessions.ErrNotSupported, "earlier version"},
		"a first process of before":   {says(sessions.Exit{Reason: sessions.ExitFailed, Code: 2}, nil, "palisade-init is the first process of"), sessions.ErrNotSupported, "earlier version"},
		"its directory is gone":       {says(sessions.Exit{Reason: sessions.ExitStartFailed, Message: "Working directory /x: no such directory."}, nil, ""), sessions.ErrInvalid, "/x"},
		"the session is gone":         {says(done, sessions.ErrNoInstance, ""), sessions.ErrNoInstance, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := NewKeeper()
			v := attach(t, k, c.exec)
			if n, err := io.Copy(io.Discard, v); err != nil || n > holder.Ahead {
				t.Errorf("%d bytes, %v", n, err)
			}
			k.all.Wait()
			if _, over, err := v.End(); !over || err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("%t, %v", over, err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	k := NewKeeper()
	for _, name := range []string{"", "../x", "a b", strings.Repeat("x", 64), "-x"} {
		if _, err := k.Attach(Request{Session: "s", Name: name}); !errors.Is(err, sessions.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTell(t *testing.T) {
	said := ""
	exec := func(_ context.Context, spec sessions.ExecSpec) (sessions.Exit, error) {
		b, err := io.ReadAll(spec.Stdin)
		said = string(b)
		return sessions.Exit{Code: len(b) - 4}, err
	}
	if err := Tell(t.Context(), exec, "soon"); err != nil || said != "soon" {
		t.Errorf("%q, %v", said, err)
	}
	if err := Tell(t.Context(), exec, "soon over"); err == nil {
		t.Error("a failure is not told")
	}
}
