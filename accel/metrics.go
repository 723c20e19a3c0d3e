package accel

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// collector shows a ledger to Prometheus, as it is when it is asked.
type collector struct {
	ledger                            *Ledger
	utilization, used, total, power   *prometheus.Desc
	temperature, fault, busy, taken   *prometheus.Desc
	sampled, sessionUsed, sessionMost *prometheus.Desc
	claims                            *prometheus.Desc
}

// NewCollector returns the metrics of a ledger's devices and of the sessions on them. What a device does not tell is
// left out, not 0.
func NewCollector(l *Ledger) prometheus.Collector {
	device := []string{"node", "device", "index", "family", "name"}
	session := []string{"node", "device", "session"}
	desc := func(name, help string, labels []string) *prometheus.Desc {
		return prometheus.NewDesc("palisade_"+name, help, labels, nil)
	}
	return &collector{
		ledger:      l,
		utilization: desc("device_utilization_ratio", "How busy a device is, 0 to 1.", device),
		used:        desc("device_memory_used_bytes", "Memory of a device in use, whoever uses it.", device),
		total:       desc("device_memory_total_bytes", "Memory of a device.", device),
		power:       desc("device_power_watts", "Power that a device draws.", device),
		temperature: desc("device_temperature_celsius", "Temperature of a device.", device),
		fault:       desc("device_fault", "1 for a device that must not be used.", device),
		busy:        desc("device_busy", "1 for a device that works but is not handed out.", device),
		taken:       desc("device_share_taken_ratio", "The part of a device that sessions hold, 0 to 1; above 1 after a restart found more running than fits.", device),
		sampled:     desc("device_sampled_timestamp_seconds", "When a device was last asked how it is.", device),
		sessionUsed: desc("session_device_memory_used_bytes", "Memory of a device that a session's processes hold.", session),
		sessionMost: desc("session_device_memory_share_bytes", "Memory of a device that a session's share stands for.", session),
		claims:      desc("claims", "Claims of sessions on a node: held, or leaving until their memory is seen free.", []string{"node", "state"}),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.utilization, c.used, c.total, c.power, c.temperature, c.fault, c.busy, c.taken, c.sampled, c.sessionUsed, c.sessionMost, c.claims,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	told := func(desc *prometheus.Desc, value float64, labels ...string) {
		if value >= 0 {
			gauge(desc, value, labels...)
		}
	}
	for _, status := range c.ledger.Status() {
		node, taken := status.State.Node(), map[string]Amount{}
		states := map[ClaimState]int{ClaimHeld: 0, ClaimLeaving: 0}
		for _, e := range status.Claims {
			states[e.State]++
			for _, share := range e.Holds() {
				taken[share.Device] += share.Amount
				gauge(c.sessionMost, float64(share.Memory), node.Name, share.Device, e.Session)
			}
			for device, used := range e.Used {
				gauge(c.sessionUsed, float64(used), node.Name, device, e.Session)
			}
		}
		for state, count := range states {
			gauge(c.claims, float64(count), node.Name, string(state))
		}
		for _, d := range node.Devices {
			labels := []string{node.Name, d.ID, strconv.Itoa(d.Index), d.Family, d.Name}
			gauge(c.taken, float64(taken[d.ID])/hundredthsPerDevice, labels...)
			gauge(c.fault, indicator(d.Fault != ""), labels...)
			gauge(c.busy, indicator(d.Busy != ""), labels...)
			if d.Memory > 0 {
				gauge(c.total, float64(d.Memory), labels...)
			}
			sample, sampled := status.Samples[d.ID]
			if !sampled {
				continue
			}
			gauge(c.sampled, float64(sample.At.UnixMilli())/1000, labels...)
			if sample.Fault != "" && sample.MemoryUsed <= 0 {
				continue // it did not answer: what is in the sample is nothing
			}
			told(c.utilization, sample.Utilization, labels...)
			told(c.used, float64(sample.MemoryUsed), labels...)
			told(c.power, sample.Power, labels...)
			told(c.temperature, sample.Temperature, labels...)
		}
	}
}

func indicator(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
