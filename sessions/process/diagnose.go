package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Finding is one thing that `palisade doctor` shows.
type Finding struct {
	Subject string // "namespaces", "limits", "network", "user", "kernel"
	OK      bool
	Text    string // one sentence
	Hint    string // what to do where not OK
}

const probeArg = "--probe"

// Capabilities is what this runtime can do on this box.
type Capabilities struct {
	OwnNetwork  bool // each session has its own ports and address
	MemoryLimit bool
	CPULimit    bool
	PidsLimit   bool
}

// Capabilities tells what this runtime can do on this box.
func (r *Runtime) Capabilities() Capabilities {
	return Capabilities{
		OwnNetwork:  r.cfg.Network != nil,
		MemoryLimit: r.groups.has("memory"),
		CPULimit:    r.groups.has("cpu"),
		PidsLimit:   r.groups.has("pids"),
	}
}

// Diagnose tries what a session needs and says what was found, worst first where that is known.
func (r *Runtime) Diagnose(ctx context.Context) []Finding {
	return append([]Finding{r.diagnoseUser(), r.diagnoseNamespaces(ctx)}, append(r.diagnoseLimits(), r.diagnoseNetwork())...)
}

func (r *Runtime) diagnoseUser() Finding {
	if r.userNS {
		return Finding{
			Subject: "user", OK: false,
			Text: fmt.Sprintf("The appliance runs as user %d: sessions share the box's network, and limits are rough.", os.Geteuid()),
			Hint: "Run it as root to give each session its own address and exact limits.",
		}
	}
	return Finding{Subject: "user", OK: true, Text: "The appliance runs as root."}
}

// diagnoseNamespaces starts a supervisor that only tries to make a root.
func (r *Runtime) diagnoseNamespaces(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.cfg.Executable, "supervise", probeArg)
	cmd.SysProcAttr = namespaces(r.userNS)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	if err == nil {
		how := "Sessions get their own mounts, processes and names."
		if r.userNS {
			how = "Sessions get their own mounts, processes and names, in a user namespace."
		}
		return Finding{Subject: "namespaces", OK: true, Text: how}
	}
	text := strings.TrimSpace(said.String())
	if text == "" {
		text = namespaceError(err, r.userNS).Error()
	}
	f := Finding{Subject: "namespaces", Text: "Sessions cannot be started: " + text + "."}
	if e, ok := errors.AsType[*Error](namespaceError(unix.EPERM, r.userNS)); ok {
		f.Hint = e.What
	}
	return f
}

// probe is what diagnoseNamespaces starts.
func probe() int {
	if err := tryRoot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func tryRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leaving the box's mounts: %w", err)
	}
	if err := unix.Mount("palisade", "/tmp", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	for _, dir := range []string{"/tmp/proc", "/tmp/usr"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", "/tmp/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := bind("/usr", "/tmp/usr", roFlags); err != nil {
		return fmt.Errorf("showing /usr read-only (Linux 5.12 or newer is needed): %w", err)
	}
	return nil
}

func (r *Runtime) diagnoseLimits() []Finding {
	var found []Finding
	for _, c := range []struct{ controller, what, instead string }{
		{"memory", "memory", "The limit is set as RLIMIT_DATA of each process instead: a process that passes it fails to allocate, and the sum of a session's processes may pass it."},
		{"cpu", "CPU", "Sessions take what CPU time they want."},
		{"pids", "process", "The limit is set as RLIMIT_NPROC instead."},
	} {
		if r.groups.has(c.controller) {
			found = append(found, Finding{Subject: "limits", OK: true,
				Text: fmt.Sprintf("Sessions' %s limits are set by cgroups (version %s in use).", c.what, r.groups.describe())})
			continue
		}
		why := "this box has no such controller"
		for _, err := range r.groups.missing() {
			if strings.Contains(err.Error(), c.controller) {
				why = err.Error()
			}
		}
		found = append(found, Finding{Subject: "limits", Text: fmt.Sprintf("Sessions' %s limits are not set by cgroups: %s. %s", c.what, why, c.instead),
			Hint: "Run the appliance as root where " + filepath.Clean("/sys/fs/cgroup") + " is writable."})
	}
	return found
}

func (r *Runtime) diagnoseNetwork() Finding {
	n := r.cfg.Network
	switch {
	case n == nil:
		return Finding{Subject: "network", Text: "Sessions share the box's network: two that want one port cannot run at once, and each can reach engines of others without a token.",
			Hint: "Run the appliance as root to give each session its own address."}
	case n.Guarded() != nil:
		return Finding{Subject: "network", Text: fmt.Sprintf("Each session has its own address in %s, but can reach what listens on this box: %v.", n.CIDR(), n.Guarded()),
			Hint: "Load nf_tables (modprobe nf_tables), or let nothing listen on 0.0.0.0 that a session must not reach."}
	}
	return Finding{Subject: "network", OK: true,
		Text: fmt.Sprintf("Each session has its own address in %s, behind bridge %s, and cannot reach other sessions or this box.", n.CIDR(), n.Bridge())}
}
