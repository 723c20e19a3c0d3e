package e2e_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// clockOff is how far a clock is off that was set wrong.
const clockOff = 5 * time.Minute

// skew sets the clock of a daemon wrong while it runs, and right again. No namespace has a clock of the day of its own, and a Go program asks
// the kernel's page of code for it (the vDSO), not a library that could be changed: so it is that page that is changed, in this process alone.
func (h *host) skew(is bool) {
	h.t.Helper()
	if !is {
		h.setClock(h.rightClock)
		return
	}
	h.rightClock = h.setClock(skewed(int32(clockOff / time.Second)))
}

// setClock puts code in the place of the clock, and returns what was there.
func (h *host) setClock(code []byte) (before []byte) {
	h.t.Helper()
	if runtime.GOARCH != "amd64" {
		h.t.Fatalf("clocks are set wrong on amd64 alone, and this is %s", runtime.GOARCH)
	}
	pid := h.daemon.Process.Pid
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		h.t.Fatal(err)
	}
	var from, to int64
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer memory.Close()
	text := make([]byte, to-from)
	if _, err := memory.ReadAt(text, from); err != nil && !errors.Is(err, io.EOF) {
		h.t.Fatal(err)
	}
	page, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	symbols, err := page.DynamicSymbols()
	if err != nil {
		h.t.Fatal(err)
	}
	for h.freeze(true); h.reads(from, to); h.freeze(true) { // nobody may go on in the middle of what was changed
		h.freeze(false)
		runtime.Gosched()
	}
	defer h.freeze(false)
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			before = bytes.Clone(text[s.Value:][:len(code)])
			if _, err := memory.WriteAt(code, from+int64(s.Value)); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	if before == nil {
		h.t.Fatal("the daemon has no clock that can be set wrong")
	}
	return before
}

// reads tells whether a thread of the daemon, which is frozen, is where code lies, or is not to be stopped yet.
func (h *host) reads(from, to int64) bool {
	h.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", h.daemon.Process.Pid))
	if err != nil || len(threads) == 0 {
		h.t.Fatalf("the daemon's threads: %d, %v", len(threads), err)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			h.t.Fatal(err)
		}
		fields := strings.Fields(string(text)) // the last is where it is; of one that is not stopped there is none: "running"
		at, err := strconv.ParseInt(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil || at >= from && at < to {
			return true
		}
	}
	return false
}

// skewed is what a process has in the place of its vDSO's clock: a system call, and so many seconds more where it is the clock of the day.
func skewed(seconds int32) []byte {
	code := []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME
		0x75, 0x07, // jne to the end
		0x48, 0x81, 0x06, // add qword [rsi], ...
	}
	return append(binary.LittleEndian.AppendUint32(code, uint32(seconds)), 0xc3) // ret
}
