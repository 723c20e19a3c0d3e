package config

import (
	"net/url"
	"time"

	"github.com/palisade-run/palisade/autoscaler/signals"
	"github.com/palisade-run/palisade/catalog"
)

// Autoscaler says where rules' metrics come from. The rules themselves belong to services.
type Autoscaler struct {
	Interval time.Duration `yaml:"interval"` // how often engines' own metrics are read
	// Prometheus answers rules whose source it is.
	Prometheus Prometheus `yaml:"prometheus"`
}

// Prometheus is a server that answers queries.
type Prometheus struct {
	URL string `yaml:"url"` // without /api/v1/query; "" there is none
	// Authorization is a file that holds the header of that name, like "Bearer TOKEN"; it is read each time. "": none is
	// sent. Absolute after Load.
	Authorization string        `yaml:"authorization"`
	Interval      time.Duration `yaml:"interval"` // of each query
	Timeout       time.Duration `yaml:"timeout"`
}

func defaultAutoscaler() Autoscaler {
	return Autoscaler{Interval: 2 * time.Second, Prometheus: Prometheus{Interval: 10 * time.Second, Timeout: 5 * time.Second}}
}

// Signals is the same in the words of the room that does it.
func (a Autoscaler) Signals() signals.Config {
	p := a.Prometheus
	c := signals.Config{Interval: a.Interval, Prometheus: signals.Prometheus{URL: p.URL, Interval: p.Interval, Timeout: p.Timeout}}
	if p.Authorization != "" {
		c.Prometheus.Headers = []signals.Header{{Name: "Authorization", File: p.Authorization}}
	}
	return c
}

func (a Autoscaler) check() (ps catalog.Problems) {
	if a.Interval < time.Second {
		ps = append(ps, problem("autoscaler.interval", "is too short to be worth its cost", "at least 1s"))
	}
	p := a.Prometheus
	if p.Interval < time.Second {
		ps = append(ps, problem("autoscaler.prometheus.interval", "is too short to be worth its cost", "at least 1s"))
	}
	if p.Timeout <= 0 || p.Timeout > time.Minute {
		ps = append(ps, problem("autoscaler.prometheus.timeout", "is no time to wait for an answer", "like 5s; at most 1m"))
	}
	if p.URL == "" {
		if p.Authorization != "" {
			ps = append(ps, warning("autoscaler.prometheus.authorization", "is not used without autoscaler.prometheus.url", ""))
		}
		return ps
	}
	const hint = "like http://localhost:9090; /api/v1/query is added"
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		ps = append(ps, problem("autoscaler.prometheus.url", "must be a URL that begins with http:// or https:// and names a host", hint))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		ps = append(ps, problem("autoscaler.prometheus.url", "has more than scheme, host, port and path", "a token goes into authorization"))
	}
	return ps
}
