package containerd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/palisade-run/palisade/sessions/pid1"
)

// Labels of containers and snapshots, beside the session's own.
const (
	labelOwner   = "palisade.run/owner"   // Runtime.owner
	labelSession = "palisade.run/session" // the session's id
)

const (
	runcShim   = "io.containerd.runc.v2"
	defaultShm = 64 << 20
	// ownThreads is how many threads of the first process the kernel counts along with the session's.
	ownThreads = 8
	maxLabel   = 4096 // bytes of key and value together, containerd's own bound
)

// capabilities are those of docker's containers, without NET_RAW (forged packets), MKNOD, AUDIT_WRITE and
// SYS_CHROOT.
var capabilities = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE", "CAP_KILL",
}

// A session's users in a user namespace are a range of the box's that no other program uses: above those
// of nspawn's containers.
const (
	firstUser = 1_879_048_192
	users     = 65_536
)

// sessionRoot is the box's user that is root in a session.
func (r *Runtime) sessionRoot() int {
	if r.cfg.UserNamespace {
		return firstUser
	}
	return 0
}

func mapped() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: firstUser, Size: users}}
}

// remapped says that a snapshot's files belong to the session's users.
func (r *Runtime) remapped() []snapshots.Opt {
	if !r.cfg.UserNamespace {
		return nil
	}
	return []snapshots.Opt{client.WithUserNSRemapperLabels(mapped(), mapped())}
}

// bare is the container without what takes time to say.
func (m *making) bare() containers.Container {
	return containers.Container{ID: m.spec.ID, Snapshotter: m.r.cfg.Snapshotter}
}

// labels are the session's own, as far as containerd takes them, and ours. They are for people who look
// with ctr, and for a daemon that has lost its root.
func (m *making) labels() map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, m.spec.Labels)
	maps.DeleteFunc(labels, func(k, v string) bool { return len(k)+len(v) > maxLabel || k == "" })
	labels[labelOwner], labels[labelSession] = m.r.owner, m.spec.ID
	return labels
}

// ociSpec says what the container is.
func (m *making) ociSpec(ctx context.Context) (*oci.Spec, error) {
	limits, mode := m.spec.Limits, cgroups.Mode()
	opts := []oci.SpecOpts{
		oci.WithProcessArgs(pid1.PathInit), oci.WithProcessCwd("/"),
		oci.WithHostname(pid1.HostName(m.spec.Name, m.spec.ID)),
		oci.WithCapabilities(capabilities[:]), oci.WithNoNewPrivileges,
		oci.WithRlimit(&specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: m.r.openFiles, Hard: m.r.openFiles}),
		oci.WithDefaultUnixDevices,
		oci.WithoutRunMount, // an image may have something there
		oci.WithDevShmSize(max(1, cmp.Or(limits.Shm, defaultShm)>>10)),
		oci.WithCgroup(m.r.groupPath(m.spec.ID)),
		withResources(limits, swapIsCounted(mode)),
		m.withMounts(), m.withNetwork(),
	}
	if mode == cgroups.Unified {
		opts = append(opts, oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}))
	}
	if m.r.cfg.UserNamespace {
		opts = append(opts, oci.WithUserNamespace(mapped(), mapped()), withBoxSysfs)
	}
	devices, err := withDevices(m.spec.Devices)
	if err != nil {
		return nil, err
	}
	opts = append(opts, func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		s.Process.Env = nil
		return nil
	})
	opts = append(opts, devices...)
	opts = append(opts, m.withOwnEnv, seccomp.WithDefaultProfile()) // it follows the capabilities
	c := m.bare()
	spec, err := oci.GenerateSpec(ctx, m.r.client, &c, opts...)
	if err != nil {
		return nil, fmt.Errorf("describing the container: %w", err)
	}
	return spec, nil
}

// withOwnEnv takes what devices add to the environment for the session's processes; the first process has
// its own.
func (m *making) withOwnEnv(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	m.deviceEnv = map[string]string{}
	for _, kv := range s.Process.Env {
		k, v, _ := strings.Cut(kv, "=")
		m.deviceEnv[k] = v
	}
	s.Process.Env = []string{"GOMAXPROCS=2", "GOGC=50", "GOTRACEBACK=single"}
	return nil
}

// withNetwork puts the container into the session's own network, or leaves it in the box's.
func (m *making) withNetwork() oci.SpecOpts {
	if m.at.Path == "" {
		return oci.WithHostNamespace(specs.NetworkNamespace)
	}
	return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: m.at.Path})
}

// withBoxSysfs shows the box's /sys, read-only: a user namespace that does not own its network may not
// mount one.
func withBoxSysfs(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	for i, mount := range s.Mounts {
		if mount.Type == "sysfs" {
			s.Mounts[i] = specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "rprivate", "ro", "nosuid", "noexec", "nodev"}}
		}
	}
	return nil
}

// withMounts shows what the session is to see of the box, each before what lies in it.
func (m *making) withMounts() oci.SpecOpts {
	own := func(name string) string { return filepath.Join(m.dir, name) }
	// rprivate: what the box mounts there later stays the box's, or it would come into read-only folders writable.
	bind := func(source, target string, options ...string) specs.Mount {
		return specs.Mount{Source: source, Destination: target, Type: "bind", Options: append([]string{"rbind", "rprivate", "nosuid", "nodev"}, options...)}
	}
	mounts := []specs.Mount{
		{Source: "cgroup", Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
		bind(m.r.init, pid1.PathInit, "ro"),
		bind(own(filePlan), pid1.PathPlan, "ro", "noexec"),
		bind(own(dirOut), pid1.PathOut, "noexec"),
	}
	for _, name := range names {
		mounts = append(mounts, bind(own(name), filepath.Join("/etc", name), "ro"))
	}
	if c := m.spec.Cluster; c != nil && c.SSHConfig != "" {
		mounts = append(mounts, bind(c.SSHConfig, pid1.SSHConfig, "ro", "noexec"))
	}
	within := mountPoints()
	for _, w := range m.spec.Mounts {
		mount := bind(w.Source, filepath.Clean(w.Target))
		if w.ReadOnly {
			mount.Options = append(mount.Options, readOnly(w.Source, within))
		}
		mounts = append(mounts, mount)
	}
	for i, target := range m.spec.Scratch {
		mounts = append(mounts, bind(own(filepath.Join(dirScratch, fmt.Sprint(i))), filepath.Clean(target)))
	}
	sortByDepth(mounts)
	return oci.WithMounts(mounts)
}

// readOnly is the option that makes a mount of source read-only. Where the box has something mounted
// within it, that must be said of each: an older runc does not know how.
func readOnly(source string, mountPoints []string) string {
	if real, err := filepath.EvalSymlinks(source); err == nil {
		source = real
	}
	for _, p := range mountPoints {
		if strings.HasPrefix(p, strings.TrimSuffix(source, "/")+"/") {
			return "rro"
		}
	}
	return "ro"
}

func mountPoints() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var points []string
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, unescape.Replace(f[4]))
		}
	}
	return points
}
