package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// imageFacts is what an image says of how it is run.
type imageFacts struct {
	command []string // ENTRYPOINT and CMD
	env     map[string]string
	user    string
	workDir string
	labels  map[string]string
}

// factsOf reads them, once for each image.
func (r *Runtime) factsOf(ctx context.Context, img client.Image) (imageFacts, error) {
	digest := img.Target().Digest.String()
	r.mu.Lock()
	facts, known := r.images[digest]
	r.mu.Unlock()
	if known {
		return facts, nil
	}
	said, err := img.Spec(ctx)
	if err != nil {
		return imageFacts{}, fmt.Errorf("reading how image %s is run: %w", img.Name(), err)
	}
	c := said.Config
	facts = imageFacts{command: slices.Concat(c.Entrypoint, c.Cmd), env: map[string]string{}, user: c.User, workDir: c.WorkingDir, labels: c.Labels}
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		facts.env[k] = v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[digest] = facts
	return facts, nil
}

// program is the command that the image runs in place of argv: its own where argv is empty. A program that is named without its
// directory is the image's own of that name, where that is what it starts: many images keep their engine apart from PATH.
func (f imageFacts) program(argv []string) []string {
	if len(argv) == 0 {
		return f.command
	}
	if len(f.command) == 0 || strings.Contains(argv[0], "/") || !strings.Contains(f.command[0], "/") || filepath.Base(f.command[0]) != argv[0] {
		return argv
	}
	own := f.command[0]
	if !filepath.IsAbs(own) {
		own = filepath.Join("/", f.workDir, own)
	}
	return append([]string{own}, argv[1:]...)
}

// plan is what the container's first process is told: what the spec leaves to the image is filled in.
func (m *making) plan() (pid1.Plan, error) {
	p := pid1.Plan{User: m.facts.user, LogFiles: m.r.cfg.LogFiles, LogSize: m.r.cfg.LogSize, Own: m.spec.Scratch}
	p.Env = map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
	maps.Copy(p.Env, m.facts.env)
	maps.Copy(p.Env, m.deviceEnv)
	maps.Copy(p.Env, m.spec.Env)
	m.rec.ImageLabels = m.facts.labels
	m.rec.Env, m.rec.WorkDir = p.Env, filepath.Join("/", m.facts.workDir)
	for _, proc := range m.spec.Processes {
		proc.Argv = m.facts.program(proc.Argv)
		if proc.WorkDir == "" {
			proc.WorkDir = m.rec.WorkDir
		}
		if len(proc.Argv) == 0 {
			return p, &Error{
				Err:  fmt.Errorf("image %s has no command of its own, neither ENTRYPOINT nor CMD: %w", m.image.Name(), sessions.ErrInvalid),
				What: "say in the definition what to run: start_command",
			}
		}
		p.Processes = append(p.Processes, proc)
	}
	return p, nil
}

// names are the files of /etc that tell a session who it is and whom to ask for names.
var names = [...]string{"hosts", "hostname", "resolv.conf"}

func (m *making) writeNames(root *os.Root) error {
	host := pid1.HostName(m.spec.Name, m.spec.ID)
	hosts := pid1.Hosts(host, m.rec.Address)
	if c := m.spec.Cluster; c != nil {
		hosts = pid1.ClusterHosts(c.Names, m.peers())
	}
	texts := [...]string{hosts, host + "\n", nameServers(m.at.Path != "")}
	var errs []error
	for i, name := range names {
		errs = append(errs, root.WriteFile(name, []byte(texts[i]), 0o644))
	}
	return errors.Join(errs...)
}

// nameServers is the box's own list, without those that only the box itself can reach where the session
// has a network of its own.
func nameServers(ownNetwork bool) string {
	for _, name := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		var text bytes.Buffer
		servers := 0
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			server := len(f) > 1 && f[0] == "nameserver"
			if server && ownNetwork && (strings.HasPrefix(f[1], "127.") || f[1] == "::1") {
				continue
			}
			if server {
				servers++
			}
			text.WriteString(line)
		}
		if servers > 0 {
			return text.String()
		}
	}
	return "# this box names no server that a session could reach\n"
}
