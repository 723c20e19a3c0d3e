package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// HangUp does what the kernel does when a terminal is gone: SIGHUP to the process group of the terminal's first process,
// leader, and to the one in its foreground. It returns true once gone is closed, false when that has not been so for as
// long as within. proc is where /proc is mounted; leader is as that calls it.
//
// What would have ended by the signal, had it come a moment later, is sent it again: a shell's child that was between
// fork and exec then has swallowed it, and the shell waits for that child before it does anything itself.
func HangUp(proc string, leader int, gone <-chan struct{}, within time.Duration) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	groups := []int{leader}
	if front := foreground(proc, leader); front > 1 && front != leader {
		groups = append(groups, front)
	}
	for _, group := range groups {
		_ = unix.Kill(-group, unix.SIGHUP)
	}
	for {
		select {
		case <-gone:
			return true
		case <-late.C:
			return false
		case <-again.C:
			again.Reset(500 * time.Millisecond)
		}
		for pid, p := range ReadProc(proc) {
			if slices.Contains(groups, p.Group) && p.endsBy(unix.SIGHUP) {
				_ = unix.Kill(pid, unix.SIGHUP)
			}
		}
	}
}

// foreground is the process group in the foreground of the terminal of process pid; -1 where there is none.
func foreground(proc string, pid int) int {
	b, err := os.ReadFile(filepath.Join(proc, fmt.Sprint(pid), "stat"))
	if err != nil {
		return -1
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 6 {
		return -1
	}
	group, err := strconv.Atoi(f[5])
	if err != nil {
		return -1
	}
	return group
}
