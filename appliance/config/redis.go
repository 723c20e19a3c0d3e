package config

import (
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Redis keeps the counts of limits that several boxes, and two processes of one, share.
type Redis struct {
	URL          string        `yaml:"url"`           // "" is none: each process counts for itself
	PasswordFile string        `yaml:"password_file"` // in the place of a password in URL. Absolute after Load
	CA           string        `yaml:"ca"`            // PEM file of those that are believed with rediss. Absolute after Load
	Prefix       string        `yaml:"prefix"`        // of all keys
	Boxes        int           `yaml:"boxes"`         // that share the limits while Redis is gone; 0: those seen last
	Bound        time.Duration `yaml:"bound"`         // the most that a request waits for it
}

func defaultRedis() Redis { return Redis{Prefix: "palisade", Bound: 50 * time.Millisecond} }

// The bounds of Bound: less is missed by every box that is busy, and more is felt by whoever asks.
const (
	leastRedisBound = 5 * time.Millisecond
	mostRedisBound  = time.Second
)

func (r Redis) check() (ps catalog.Problems) {
	if r.URL == "" {
		if r.PasswordFile != "" || r.CA != "" {
			ps = append(ps, warning("redis.url", "is missing: no Redis is used", "like redis://redis.lan:6379/0"))
		}
		return ps
	}
	const hint = "like redis://redis.lan:6379/0, rediss://redis.lan:6380/0 or unix:///run/redis/redis.sock"
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		ps = append(ps, problem("redis.url", "this URL cannot be read", hint+"; special characters in the password are written like %2F"))
	case u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix":
		ps = append(ps, problem("redis.url", "is no address of Redis", hint))
	case u.Scheme == "unix" && u.Path == "", u.Scheme != "unix" && u.Hostname() == "":
		ps = append(ps, problem("redis.url", "names no server", hint))
	case r.CA != "" && u.Scheme != "rediss":
		ps = append(ps, problem("redis.ca", "is of no use without TLS", "write rediss:// in redis.url"))
	case u.Scheme == "redis" && u.User != nil && !loopback(net.JoinHostPort(u.Hostname(), "0")):
		ps = append(ps, warning("redis.url", "the password crosses the network in the clear", "write rediss://"))
	}
	if r.Prefix == "" || strings.ContainsAny(r.Prefix, "{}: \t\n") {
		ps = append(ps, problem("redis.prefix", "cannot be the beginning of a key", "letters, digits, '-' and '.', like palisade"))
	}
	if r.Boxes < 0 {
		ps = append(ps, problem("redis.boxes", "cannot be negative", "0 is as many as were seen"))
	}
	if r.Bound < leastRedisBound || r.Bound > mostRedisBound {
		ps = append(ps, problem("redis.bound", "must be from 5ms to 1s", "50ms: so long a request waits at most when Redis fails"))
	}
	return ps
}
