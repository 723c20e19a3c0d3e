package daemon

import (
	"testing"
	"testing/fstest"
	"time"
)

func TestBusyBox(t *testing.T) {
	now := time.Unix(1000, 0)
	files := fstest.MapFS{}
	box := newBusyBox(files, func() time.Time { return now })
	want := func(wantCores float64, wantMemory int64) {
		t.Helper()
		if cores, memory := box.use(); cores != wantCores || memory != wantMemory {
			t.Errorf("%v cores, %d bytes; want %v, %d", cores, memory, wantCores, wantMemory)
		}
	}
	stat := func(first string) {
		files["stat"] = &fstest.MapFile{Data: []byte(first + "\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n")}
	}
	want(-1, -1) // there is no /proc
	files["meminfo"] = &fstest.MapFile{Data: []byte("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   600 kB\n")}
	stat("cpu  100 0 100 800 0 0 0 0 50 0")
	want(-1, 400<<10) // nothing to compare with
	now = now.Add(time.Second)
	stat("cpu  140 0 110 930 20 0 0 0 90 0") // 50 busy of 200
	want(0.5, 400<<10)
	now = now.Add(time.Millisecond)
	stat("cpu  999 0 110 930 20 0 0 0 90 0")
	want(0.5, 400<<10) // too soon
	now = now.Add(time.Second)
	stat("cpu  140 0 110 930 20 0 0 0 90 0")
	want(-1, 400<<10) // no time has passed for the kernel
	for _, broken := range []string{"", "cpu", "cpu 1 2 x 4 5", "cpu 99999999999999999999 1 1 1 1"} {
		now = now.Add(time.Second)
		stat(broken)
		want(-1, 400<<10)
	}
	files["meminfo"] = &fstest.MapFile{Data: []byte("MemTotal:  lots kB\n")}
	if _, memory := box.use(); memory != -1 {
		t.Errorf("%d bytes of memory are used, from a file that does not say", memory)
	}
}
