package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack gives back what only the start needed: what it left on the heap, which is most of it, and those pages of the program's
// file that it touched. Go's packages initialise themselves all over the program once, and the kernel maps sixteen pages around each
// that is touched, so that without this two thirds of the file count as the daemon's memory for ever. What is needed again is
// mapped again from the kernel's cache, a microsecond for those sixteen pages.
func giveBack(log *slog.Logger) {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return // no /proc: then the pages stay
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, p := range unchanged(string(maps), program) {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, p.from, p.to-p.from, unix.MADV_DONTNEED); errno != 0 {
			log.Debug("pages of the program cannot be given back", "error", errno)
			return
		}
	}
}

// pages are addresses in [from, to).
type pages struct{ from, to uintptr }

// unchanged are the parts of a program that the kernel can read from its file again: nobody may write there, and nobody has, as
// debuggers and the linker of a position-independent program do. smaps is what /proc/self/smaps says.
func unchanged(smaps, program string) (all []pages) {
	var one pages
	within := false
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 6 && strings.Contains(fields[0], "-"):
			_, path, _ := strings.Cut(line, fields[4]+" ")
			within = (fields[1] == "r-xp" || fields[1] == "r--p") && strings.TrimSpace(path) == program
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &one.from, &one.to); err != nil {
				within = false
			}
		case len(fields) == 5 && strings.Contains(fields[0], "-"): // it has no file
			within = false
		case within && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0":
			all = append(all, one)
		}
	}
	return all
}
