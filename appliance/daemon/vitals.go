package daemon

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/api"
)

// registerVitals tells Prometheus which program runs, and how much room its data has: what no other room would tell.
func registerVitals(reg prometheus.Registerer, version api.Version, data string) {
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "palisade_build_info", Help: "1, with the version of the program that runs.",
			ConstLabels: prometheus.Labels{"version": version.Version, "commit": version.Commit, "goversion": version.GoVersion},
		}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "palisade_data_free_bytes", Help: "Bytes that are free on the disk of the data directory.",
		}, func() float64 { free, _ := room(data); return free }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "palisade_data_size_bytes", Help: "Bytes of the disk of the data directory.",
		}, func() float64 { _, size := room(data); return size }),
	)
}

// room is what is free on the disk of dir, and its size, in bytes; NaN where the disk does not say.
func room(dir string) (free, size float64) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return math.NaN(), math.NaN()
	}
	return float64(fs.Bavail) * float64(fs.Bsize), float64(fs.Blocks) * float64(fs.Bsize)
}
