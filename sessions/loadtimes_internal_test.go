package sessions

import (
	"fmt"
	"testing"
	"time"
)

func TestEstimate(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	one := func(key, device, folder string, minutes int, seconds float64) LoadTime {
		return LoadTime{Key: key, Device: device, Image: "vllm", Folder: folder, Variant: "vllm",
			At: at.Add(time.Duration(minutes) * time.Minute), Took: time.Duration(seconds * float64(time.Second))}
	}
	like := one("k", "", "llama", 0, 0)
	h200, h100 := new("H200"), new("H100")
	for _, c := range []struct {
		name   string
		past   []LoadTime
		device *string
		want   float64 // seconds; 0 not known
	}{
		{"nothing", nil, h200, 0},
		{"another model", []LoadTime{one("x", "H200", "qwen", 1, 9)}, h200, 0},
		{"the median", []LoadTime{one("k", "H200", "llama", 1, 90), one("k", "H200", "llama", 2, 10), one("k", "H200", "llama", 3, 12)}, h200, 12},
		{"of two their mean", []LoadTime{one("k", "H200", "llama", 1, 10), one("k", "H200", "llama", 2, 20)}, h200, 15},
		{"the same here before anything", []LoadTime{one("k", "H100", "llama", 3, 1), one("x", "H200", "llama", 3, 2), one("k", "H200", "llama", 1, 3)}, h200, 3},
		{"the model here before the same elsewhere", []LoadTime{one("k", "H100", "llama", 3, 1), one("x", "H200", "llama", 3, 2)}, h200, 2},
		{"the same elsewhere", []LoadTime{one("k", "H100", "llama", 3, 1), one("x", "A100", "llama", 3, 2)}, h200, 1},
		{"the model elsewhere", []LoadTime{one("x", "A100", "llama", 3, 2)}, h200, 2},
		{"no device yet: where it ran last", []LoadTime{one("k", "H100", "llama", 3, 5), one("k", "H200", "llama", 2, 7)}, nil, 5},
		{"no device yet, and never ran", []LoadTime{one("x", "H100", "llama", 3, 5)}, nil, 5},
		{"whole boxes without devices are a device too", []LoadTime{one("k", "", "llama", 3, 5), one("k", "H100", "llama", 4, 1)}, new(""), 5},
		{"told out of order", []LoadTime{one("k", "H100", "llama", 9, 5), one("k", "H200", "llama", 1, 7)}, nil, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l loadTimes
			l.add(c.past...)
			if got, known := l.estimate(like, c.device); got.Seconds() != c.want || known != (c.want > 0) {
				t.Errorf("got %v, %v, want %v s", got, known, c.want)
			}
		})
	}
	var l loadTimes
	for i := range 100 { // only the newest count
		l.add(one("k", "H100", "llama", i, float64(100-i)), one(fmt.Sprint(i), "H200", "llama", i, 1))
	}
	if got, _ := l.estimate(like, h100); got != 5500*time.Millisecond {
		t.Errorf("of the newest ten: %v", got)
	}
	if n := len(l.byKey["k"]); n != LoadTimesKept {
		t.Errorf("%d are kept", n)
	}
}

func BenchmarkLoadTime(b *testing.B) {
	var l loadTimes
	for i := range 10_000 {
		l.add(LoadTime{Key: fmt.Sprint(i / 10), Folder: fmt.Sprint(i / 100), At: time.Unix(int64(i), 0), Took: time.Second})
	}
	like := LoadTime{Key: "500", Folder: "50"}
	for b.Loop() {
		l.estimate(like, nil)
	}
}
