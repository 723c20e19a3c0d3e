package daemon

import (
	"log/slog"
	"os"
	"slices"
	"testing"
)

func TestUnchangedPartsOfTheProgram(t *testing.T) {
	const smaps = `00400000-00411000 r--p 00000000 fe:00 10382772                           /opt/my palisade
Rss:                  68 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00411000-02e7a000 r-xp 00011000 fe:00 10382772                           /opt/my palisade
Anonymous:             0 kB
02e7a000-06755000 r--p 02a7a000 fe:00 10382772                           /opt/my palisade
Anonymous:             4 kB
06755000-06756000 rw-p 06354000 fe:00 10382772                           /opt/my palisade
Anonymous:             0 kB
194c80000000-194c83c00000 r--p 00000000 00:00 0
Anonymous:             0 kB
7f561784f000-7f56179a5000 r-xp 00026000 fe:00 326269                     /usr/lib/x86_64-linux-gnu/libc.so.6
Anonymous:             0 kB
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`
	want := []pages{{0x400000, 0x411000}, {0x411000, 0x2e7a000}}
	if got := unchanged(smaps, "/opt/my palisade"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if got := unchanged(smaps, "/opt/my palisade (deleted)"); got != nil {
		t.Errorf("of another program: %x", got)
	}
}

// What was given back is there again when it is needed.
func TestGiveBack(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if len(unchanged(string(maps), program)) == 0 {
		t.Errorf("no part of %s can be given back:\n%s", program, maps)
	}
	giveBack(slog.New(slog.DiscardHandler))
	TestUnchangedPartsOfTheProgram(t)
}
