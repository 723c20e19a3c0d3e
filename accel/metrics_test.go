package accel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/accel"
)

func TestMetrics(t *testing.T) {
	d := newDesk(t, box(2))
	d.take("a", accel.Slots{"cuda.shares": 50})
	d.pids[1] = "a"
	sample := uses("GPU-0", 30, map[int]int64{1: 30})
	sample.Utilization, sample.Temperature, sample.Power = 0.75, 61, -1
	d.observe(sample)
	d.observe(accel.Sample{Device: "GPU-1", MemoryUsed: -1, Utilization: -1, Temperature: -1, Power: -1, Fault: "Xid 79"})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(accel.NewCollector(d.Ledger))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				if name := label.GetName(); name == "device" || name == "session" || name == "state" {
					labels = append(labels, label.GetValue())
				}
			}
			if !strings.Contains(family.GetName(), "timestamp") {
				got = append(got, fmt.Sprintf("%s %s %g", strings.TrimPrefix(family.GetName(), "palisade_"), strings.Join(labels, " "), m.GetGauge().GetValue()))
			}
		}
	}
	want := []string{
		"claims held 1", "claims leaving 0", "device_busy GPU-0 0", "device_busy GPU-1 0", "device_fault GPU-0 0", "device_fault GPU-1 1",
		"device_memory_total_bytes GPU-0 8.589934592e+10", "device_memory_total_bytes GPU-1 8.589934592e+10", "device_memory_used_bytes GPU-0 3.221225472e+10",
		"device_share_taken_ratio GPU-0 0.5", "device_share_taken_ratio GPU-1 0", "device_temperature_celsius GPU-0 61", "device_utilization_ratio GPU-0 0.75",
		"session_device_memory_share_bytes GPU-0 a 4.294967296e+10", "session_device_memory_used_bytes GPU-0 a 3.221225472e+10",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
