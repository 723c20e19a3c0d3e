package config

import (
	"fmt"
	"net/url"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
)

// Catalog says how models come to the box.
type Catalog struct {
	// Hub is the address of the Hugging Face hub, or of a mirror of it; "": $HF_ENDPOINT, or the hub itself.
	Hub string `yaml:"hub"`
	// Bandwidth is what all downloads together take in a second, as 50m; "": all that there is.
	Bandwidth   string        `yaml:"bandwidth"`
	Connections int           `yaml:"connections"` // at once, of all downloads
	Keep        time.Duration `yaml:"keep"`        // how long bytes are kept that no model has, for an install that goes on
	Revisions   int           `yaml:"revisions"`   // of each model that are kept to go back to
	Patience    time.Duration `yaml:"patience"`    // how long a service may be silent while it comes up
}

func defaultCatalog() Catalog {
	return Catalog{Connections: 8, Keep: 7 * 24 * time.Hour, Revisions: 2, Patience: 30 * time.Minute}
}

// Rate is Bandwidth in bytes; 0: no bound.
func (c Catalog) Rate() (int64, error) { return bandwidth(c.Bandwidth) }

// bandwidth is how many bytes a second a text allows; 0 is no bound.
func bandwidth(text string) (int64, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	n, err := accel.ParseSize(text)
	if err == nil && n < 1<<10 {
		err = fmt.Errorf("%d bytes a second would never end", n)
	}
	return n, err
}

func (c Catalog) check() (ps catalog.Problems) {
	if u, err := url.Parse(c.Hub); c.Hub != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		ps = append(ps, problem("catalog.hub", "is no address", "like https://hub.example.com"))
	}
	if _, err := c.Rate(); err != nil {
		ps = append(ps, problem("catalog.bandwidth", err.Error(), "like 50m, of bytes a second; empty is no bound"))
	}
	if c.Connections < 1 || c.Connections > 256 {
		ps = append(ps, problem("catalog.connections", "is out of bounds", "from 1 to 256"))
	}
	if c.Keep < time.Minute {
		ps = append(ps, problem("catalog.keep", "is too short to go on with anything", "like 168h"))
	}
	if c.Revisions < 2 {
		ps = append(ps, problem("catalog.revisions", "leaves nothing to go back to", "2 or more"))
	}
	if c.Patience < time.Second {
		ps = append(ps, problem("catalog.patience", "is too short for any model to come up", "like 30m"))
	}
	return ps
}
