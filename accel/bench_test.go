package accel_test

import (
	"fmt"
	"testing"

	"github.com/palisade-run/palisade/accel"
)

func benchState(b *testing.B, running int) accel.State {
	b.Helper()
	n := box(8)
	for i := range n.Devices {
		n.Devices[i].Links = map[string]string{}
		for j := range n.Devices {
			if i != j {
				n.Devices[i].Links[fmt.Sprint("GPU-", j)] = "NV18"
			}
		}
	}
	s := accel.NewState(n)
	for i := range running {
		claim, err := allocate(s, fmt.Sprint("running", i), accel.Slots{"cpu": 1000, "mem": gib, "cuda.shares": 30}, accel.Options{})
		if err != nil {
			b.Fatal(err)
		}
		s = s.With(claim)
	}
	return s
}

// What a placement pass does for each node and each waiting session.
func BenchmarkFits(b *testing.B) {
	s := benchState(b, 10)
	need, err := accel.NewNeed(accel.Slots{"cpu": 4000, "mem": 32 * gib, "cuda.device": 200}, accel.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !s.Fits(&need) {
			b.Fatal("does not fit")
		}
	}
}

// What it does once for each session that it places.
func BenchmarkAllocateWhole(b *testing.B) {
	s := benchState(b, 10)
	need, err := accel.NewNeed(accel.Slots{"cpu": 4000, "mem": 32 * gib, "cuda.device": 200}, accel.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Allocate("s", &need); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllocateShares(b *testing.B) {
	s := benchState(b, 10)
	need, err := accel.NewNeed(accel.Slots{"cpu": 1000, "cuda.shares": 250}, accel.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Allocate("s", &need); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWithWithout(b *testing.B) {
	s := benchState(b, 10)
	claim, err := allocate(s, "s", accel.Slots{"cpu": 4000, "cuda.device": 200}, accel.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.With(claim).Without("s")
	}
}
