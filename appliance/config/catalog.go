package config

import (
	"net/url"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Catalog is how models are installed.
type Catalog struct {
	// Hub is the address of a mirror of the Hugging Face hub; "" is what HF_ENDPOINT says, and the hub where that is not set.
	Hub         string        `yaml:"hub"`
	Rate        int64         `yaml:"rate"`        // bytes a second that all downloads take together; 0: as fast as it goes
	Connections int           `yaml:"connections"` // of all downloads together
	Keep        time.Duration `yaml:"keep"`        // how long bytes that no model has are kept, for an install that goes on
	Reserve     int64         `yaml:"reserve"`     // bytes of the disk that downloads leave free
}

func defaultCatalog() Catalog {
	return Catalog{Connections: 8, Keep: 7 * 24 * time.Hour, Reserve: 1 << 30}
}

func (c Catalog) check() (ps catalog.Problems) {
	if u, err := url.Parse(c.Hub); c.Hub != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "") {
		ps = append(ps, problem("catalog.hub", "is no address of a hub", "like https://hf-mirror.com"))
	}
	if c.Rate < 0 {
		ps = append(ps, problem("catalog.rate", "is below 0", "bytes a second, like 100m; 0 is as fast as it goes"))
	}
	if c.Connections < 1 || c.Connections > 64 {
		ps = append(ps, problem("catalog.connections", "is not between 1 and 64", "like 8"))
	}
	if c.Keep < time.Minute {
		ps = append(ps, problem("catalog.keep", "is too short to go on with anything", "like 168h"))
	}
	if c.Reserve < 0 {
		ps = append(ps, problem("catalog.reserve", "is below 0", "bytes, like 1g"))
	}
	return ps
}
