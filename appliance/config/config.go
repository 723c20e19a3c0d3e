package config

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

// Config is everything that can be set. In the file, a field's name is its yaml tag, or its json tag in
// a type that also goes over the wire; a duration is written 30s, 5m or 1h30m; an int64 is a number of
// bytes and may be written 64m or 2g.
type Config struct {
	// Data is the directory of all that the appliance keeps. Absolute after Load.
	Data string `yaml:"data"`
	// Listen is the address of everything that is served over TCP: host:port.
	Listen string `yaml:"listen"`
	// Advertise is the address by which clients reach Listen, where that differs (a proxy, a NAT): a URL.
	Advertise string `yaml:"advertise"`
	TLS       TLS    `yaml:"tls"`
	// SSH is the port for people and their sessions.
	SSH SSH `yaml:"ssh"`
	// Apps are programs of sessions, behind a door with a log-in of its own.
	Apps Apps `yaml:"apps"`
	// Database is sqlite:PATH or postgres://...; "" is a SQLite file in Data: see DSN.
	Database string `yaml:"database"`
	// Runtime runs sessions: auto, process or containerd.
	Runtime string `yaml:"runtime"`
	// Variants is a YAML file of runtime variants that the owner adds; "" for none. Absolute after Load.
	Variants   string     `yaml:"variants"`
	Log        Log        `yaml:"log"`
	Network    Network    `yaml:"network"`
	Limits     Limits     `yaml:"limits"`
	Containerd Containerd `yaml:"containerd"`
	Node       Node       `yaml:"node"`
	Accel      Accel      `yaml:"accel"`
	Queue      Queue      `yaml:"queue"`
	// Sessions is how people's sessions are treated.
	Sessions Sessions `yaml:"sessions"`
	// Router is the endpoint's part: domain, limits of bodies, time-outs.
	Router router.Config `yaml:"router"`
	// AccessLog is a line for each request of the endpoint. Its path is absolute after Load.
	AccessLog record.LogConfig `yaml:"access_log"`
	// Traces says where spans of requests go.
	Traces Traces `yaml:"traces"`
	// Autoscaler says where rules' metrics come from.
	Autoscaler Autoscaler `yaml:"autoscaler"`
	// Folders bound what people keep.
	Folders Folders `yaml:"folders"`
	// Usage is how what was used is told of.
	Usage Usage `yaml:"usage"`
	// Catalog says how models come to the box.
	Catalog Catalog `yaml:"catalog"`
	// People are how users are let in.
	People people.Config `yaml:"people"`
	// Fetch says what may be asked on others' behalf.
	Fetch Fetch `yaml:"fetch"`
	// Redis keeps counts that several boxes share.
	Redis Redis `yaml:"redis"`
	// Cluster is this box's part of an appliance of several.
	Cluster Cluster `yaml:"cluster"`
	// Backup is how the appliance is kept apart from its box.
	Backup Backup `yaml:"backup"`
	// Restart is how a daemon is replaced by its successor.
	Restart Restart `yaml:"restart"`
	// Service is how services' routes are treated whose owner says nothing else.
	Service sessions.Policy `yaml:"service"`
}

// TLS of Listen.
type TLS struct {
	// Mode is auto, off or files. auto serves the files where they are given, plain HTTP on a loopback
	// address, and a self-made certificate otherwise: see Config.Security.
	Mode string `yaml:"mode"`
	Cert string `yaml:"cert"` // PEM file, the chain below the certificate. Absolute after Load
	Key  string `yaml:"key"`  // PEM file. Absolute after Load
}

// Log of the daemon itself.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"` // text or json
}

// Network of sessions, where the daemon may make one.
type Network struct {
	Bridge       string       `yaml:"bridge"`        // its name; "" derives one from the data directory
	CIDR         netip.Prefix `yaml:"cidr"`          // range of sessions' addresses, IPv4; zero takes a free part of Pool
	Pool         netip.Prefix `yaml:"pool"`          // where a range is taken from; zero is the room's default
	DefaultRoute bool         `yaml:"default_route"` // sessions have a way to the world
}

// Limits of what sessions may leave on the box, and of what projects may use.
type Limits struct {
	// SessionLog is how many bytes of a session's log are kept, old ones go first.
	SessionLog int64 `yaml:"session_log"`
	// Projects says what all requests of a project may use together, "*" of each that has no line: see Quotas.
	Projects map[string]map[string]string `yaml:"projects"`
}

// Traces of requests, sent by OTLP over HTTP.
type Traces struct {
	Endpoint string  `yaml:"endpoint"` // URL of a collector; "" is what OTEL_EXPORTER_OTLP_ENDPOINT says, and none where that is not set
	Sample   float64 `yaml:"sample"`   // part of the traces that begin here, 0 to 1; a client's own decision holds
}

// Runtimes.
const (
	RuntimeAuto       = "auto"
	RuntimeProcess    = "process"
	RuntimeContainerd = "containerd"
)

// TLS modes.
const (
	TLSAuto  = "auto"
	TLSOff   = "off"
	TLSFiles = "files"
)

// Log formats.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Default is what holds where nothing is set. Zero values in Router and Network stand for those
// rooms' own defaults.
func Default() Config {
	containerd, accelerators, queue := defaultPool()
	return Config{
		Containerd: containerd, Accel: accelerators, Queue: queue,
		Data:    defaultData(os.Geteuid(), os.Getenv),
		Listen:  "127.0.0.1:8080",
		TLS:     TLS{Mode: TLSAuto},
		Runtime: RuntimeAuto,
		Log:     Log{Level: slog.LevelInfo, Format: FormatText},
		Limits:  Limits{SessionLog: 64 << 20},
		Service: sessions.DefaultPolicy(),

		AccessLog: record.DefaultLogConfig(), Traces: Traces{Sample: 1}, Restart: defaultRestart(), Redis: defaultRedis(), Cluster: defaultCluster(), Backup: defaultBackup(),
		Autoscaler: defaultAutoscaler(), Folders: defaultFolders(), Catalog: defaultCatalog(), People: people.DefaultConfig(),
	}
}

// defaultData is root's or the user's own place for what programs keep; "" where there is none.
func defaultData(euid int, getenv func(string) string) string {
	if euid == 0 {
		return "/var/lib/palisade"
	}
	// A relative XDG path is invalid and to be ignored, says its specification.
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "palisade")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/share/palisade")
	}
	return ""
}

// DSN is the address of the database: Database, or the SQLite file in Data.
func (c Config) DSN() string {
	if c.Database != "" {
		return c.Database
	}
	return "sqlite:" + filepath.Join(c.Data, "palisade.db")
}

// Security is how Listen is served.
type Security string

// The kinds of security.
const (
	Plain    Security = "plain"     // HTTP
	SelfMade Security = "self-made" // HTTPS with a certificate that the appliance makes
	Given    Security = "given"     // HTTPS with TLS.Cert and TLS.Key
)

// Security decides what TLS.Mode comes to.
func (c Config) Security() Security {
	switch {
	case c.TLS.Mode == TLSOff:
		return Plain
	case c.TLS.Mode == TLSFiles || c.TLS.Cert != "":
		return Given
	case loopback(c.Listen):
		return Plain
	}
	return SelfMade
}

// URL is where clients find the appliance, without a slash at its end: Advertise, or Listen as a client
// on this box would write it.
func (c Config) URL() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	scheme := "https"
	if c.Security() == Plain {
		scheme = "http"
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return scheme + "://" + c.Listen
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// loopback reports whether only this box can reach listen.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
