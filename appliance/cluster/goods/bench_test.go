package goods_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/palisade-run/palisade/sessions"
)

// BenchmarkFolder brings half a gigabyte from one box to another in one process, by mutual TLS, with both sides' checksums and
// the disk's part. MB is the memory that the two take together at the most.
func BenchmarkFolder(b *testing.B) {
	const size = 512 << 20
	w := newWorld(b, "a", "b")
	var memory uint64
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		want := w.make("a", "fld-1", true, map[string][]byte{"w": nil})
		file, err := os.Create(w.rows["fld-1"].Path + "/w")
		if err != nil {
			b.Fatal(err)
		}
		block := noise(1<<20, byte(i))
		for n := range size >> 20 {
			block[0], block[1] = byte(n), byte(n>>8)
			if _, err := file.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := w.boxes["b"].Folder(b.Context(), want, func(sessions.Progress) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			memory = max(memory, m.Sys)
		}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		delete(w.rows, "fld-1")
		if err := w.boxes["b"].Sweep(b.Context(), func(string) bool { return false }); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.SetBytes(size)
	b.ReportMetric(float64(memory)/1e6, "MB")
}
