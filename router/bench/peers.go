package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed conf
var configurations embed.FS

// Names of those that are measured.
const (
	direct    = "direct"   // no proxy: the load asks the engines
	palisade  = "palisade" // the data plane alone, as the others are
	whole     = "palisade-daemon"
	nginx     = "nginx"
	haproxy   = "haproxy"
	caddy     = "caddy"
	caddyOld  = "caddy-debian"
	plainGo   = "reverseproxy"
	traefik   = "traefik"
	secret    = "pal-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	modelName = "bench"
)

// place is what a peer's command is made of.
type place struct {
	Listen   string
	Engines  []string
	Dir      string
	Root     bool
	Most     int  // connections of clients at once
	Again    bool // requests are tried again where an engine fails
	Old      bool
	programs string
	cache    string
}

// Host of Listen.
func (p place) Host() string { return p.part(0) }

// Port of Listen.
func (p place) Port() string { return p.part(1) }

func (p place) part(i int) string { return strings.Split(p.Listen, ":")[i] }

// peer is one that is measured.
type peer struct {
	name    string
	config  []string // files of conf to write, the first one is what the command reads
	old     bool
	args    func(p place, config string) []string
	missing string // what to say where its program is not there
}

func peers() []peer {
	return []peer{
		{name: palisade, args: func(p place, _ string) []string {
			args := []string{p.programs + "/gate", "-listen", p.Listen, "-routes", strings.Join(p.Engines, ","), "-token", secret, "-model", modelName}
			if p.Again {
				args = append(args, "-probe", "1s")
			}
			return args
		}},
		{name: nginx, config: []string{"nginx.conf"}, missing: "apt-get install nginx-light", args: func(p place, config string) []string {
			return []string{find("nginx"), "-c", config, "-p", p.Dir}
		}},
		{name: haproxy, config: []string{"haproxy.cfg"}, missing: "apt-get install haproxy", args: func(_ place, config string) []string {
			return []string{find("haproxy"), "-db", "-f", config}
		}},
		{name: plainGo, args: func(p place, _ string) []string {
			args := []string{p.programs + "/plain", "-listen", p.Listen, "-routes", strings.Join(p.Engines, ",")}
			if p.Again {
				args = append(args, "-again", "3")
			}
			return args
		}},
		{name: caddy, config: []string{"Caddyfile"}, missing: ".ci/caddy/build makes it", args: func(p place, config string) []string {
			return []string{cached(p.cache, "caddy"), "run", "--adapter", "caddyfile", "--config", config}
		}},
		{name: caddyOld, old: true, config: []string{"Caddyfile"}, missing: "apt-get install caddy", args: func(_ place, config string) []string {
			return []string{find("caddy"), "run", "--adapter", "caddyfile", "--config", config}
		}},
		{name: traefik, config: []string{"traefik.yml", "traefik-routes.yml"}, missing: "no package has it; one in PATH is taken", args: func(_ place, config string) []string {
			return []string{find("traefik"), "--configFile=" + config}
		}},
		{name: direct},
		{name: whole},
	}
}

func peerNames() []string {
	var names []string
	for _, p := range peers() {
		names = append(names, p.name)
	}
	return names
}

// find looks where Debian puts servers too.
func find(program string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if file := filepath.Join(dir, program); runs(file) {
			return file
		}
	}
	return ""
}

// cached is the newest of what .ci builds into the cache: NAME/VERSION/NAME.
func cached(cache, name string) string {
	files, err := filepath.Glob(filepath.Join(cache, name, "*", name))
	if err != nil || len(files) == 0 {
		return ""
	}
	return files[len(files)-1]
}

func runs(file string) bool {
	info, err := os.Stat(file) //nolint:gosec // whose PATH it is may say what is in it
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// cacheDir is where .ci keeps what it has built.
func cacheDir() (string, error) {
	if dir := os.Getenv("PALISADE_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache: %w", err)
	}
	return filepath.Join(dir, "palisade"), nil
}

// command writes the peer's configuration and gives how it is started.
func (p peer) command(at place) (command, error) {
	at.Old = p.old
	config := ""
	for i, name := range p.config {
		text, err := template.ParseFS(configurations, "conf/"+name)
		if err != nil {
			return command{}, fmt.Errorf("reading the configuration of %s: %w", p.name, err)
		}
		file := filepath.Join(at.Dir, name)
		f, err := os.Create(file)
		if err != nil {
			return command{}, err
		}
		err = text.Execute(f, at)
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return command{}, fmt.Errorf("writing the configuration of %s: %w", p.name, err)
		}
		if i == 0 {
			config = file
		}
	}
	args := p.args(at, config)
	if !runs(args[0]) {
		return command{}, fmt.Errorf("%s is not there: %s", p.name, p.missing)
	}
	// What they would keep for a person goes where this run's other files go.
	return command{name: p.name, args: args, env: []string{"HOME=" + at.Dir, "XDG_DATA_HOME=" + at.Dir, "XDG_CONFIG_HOME=" + at.Dir}}, nil
}
