package e2e_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
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
	h.freeze(true) // it reads none of it meanwhile
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
