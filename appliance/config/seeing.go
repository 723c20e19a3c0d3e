package config

import (
	"fmt"
	"net/url"

	"github.com/palisade-run/palisade/catalog"
)

const (
	smallestLog = 64 << 10 // a smaller file would be moved on every second
	mostKept    = 1000
)

// checkSeeing looks at what is told of requests.
func (c Config) checkSeeing() (ps catalog.Problems) {
	l := c.AccessLog
	ps = append(ps, part("access_log.sample", l.Sample)...)
	if l.Slow < 0 {
		ps = append(ps, problem("access_log.slow", "cannot be negative", "like 30s; 0s: no request is slow"))
	}
	if l.MaxSize != -1 && l.MaxSize < smallestLog {
		ps = append(ps, problem("access_log.max_size", fmt.Sprintf("%d bytes are too few", l.MaxSize), "at least 64k, or -1 for no limit"))
	}
	if l.Keep < 0 || l.Keep > mostKept {
		ps = append(ps, problem("access_log.keep", fmt.Sprintf("%d is no number of files", l.Keep), "0 to 1000"))
	}
	ps = append(ps, part("traces.sample", c.Traces.Sample)...)
	if c.Traces.Endpoint == "" {
		return ps
	}
	const hint = "like http://localhost:4318; /v1/traces is added where it has no path"
	u, err := url.Parse(c.Traces.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		ps = append(ps, problem("traces.endpoint", "must be a URL that begins with http:// or https:// and names a host", hint))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		ps = append(ps, problem("traces.endpoint", "has more than scheme, host, port and path",
			"write "+u.Scheme+"://"+u.Host+"; keys of a collector go into OTEL_EXPORTER_OTLP_HEADERS"))
	case u.Port() == "4317":
		ps = append(ps, warning("traces.endpoint", "4317 is the port for gRPC, and this speaks HTTP", "4318 is usual"))
	}
	return ps
}

// part checks a part of 1.
func part(field string, value float64) catalog.Problems {
	if value >= 0 && value <= 1 {
		return nil
	}
	return catalog.Problems{problem(field, fmt.Sprintf("%v is no part of 1", value), "0 to 1: 0.01 is one of a hundred")}
}
