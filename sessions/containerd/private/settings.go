package private

import (
	"fmt"
	"path/filepath"
	"strings"
)

// longestSocket is the length of the longest path that containerd listens on; the kernel's own limit is 107.
const longestSocket = 104

// longestShimDir is the length of the longest directory that containerd 2 puts shims' sockets in.
const longestShimDir = 42

// layout is where things lie under the one directory.
type layout struct{ dir string }

func (l layout) at(name string) string { return filepath.Join(l.dir, name) }
func (l layout) socket() string        { return l.at("c.sock") }
func (l layout) ttrpc() string         { return l.at("c.sock.ttrpc") }
func (l layout) log() string           { return l.at("containerd.log") }
func (l layout) record() string        { return l.at("containerd.json") }
func (l layout) settings() string      { return l.at("containerd.toml") }

// newLayout checks that dir can hold sockets.
func newLayout(dir string) (layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil || dir == "" {
		return layout{}, fmt.Errorf("containerd needs a directory of its own, not %q", dir)
	}
	l := layout{dir: abs}
	if n := len(l.ttrpc()); n > longestSocket {
		return layout{}, &Error{
			err:  fmt.Errorf("the path of containerd's socket, %s, has %d bytes: sockets take %d at most", l.ttrpc(), n, longestSocket),
			hint: fmt.Sprintf("choose a data directory that is shorter by %d bytes, such as /var/lib/palisade", n-longestSocket),
		}
	}
	return l, nil
}

// unused are plugins that sessions have no use for. Names that a version does not know are passed over by it.
var unused = [...]string{
	"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri",
	"io.containerd.internal.v1.opt", // makes /opt/containerd
	"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
	"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
	"io.containerd.differ.v1.erofs",
}

// settings is containerd's configuration, of the form that its version reads.
func settings(l layout, v Version) string {
	var b strings.Builder
	form := 2
	if v.Major >= 2 {
		form = 3
	}
	fmt.Fprintf(&b, "# Written by palisade at each start: changes are lost.\nversion = %d\n", form)
	for _, kv := range [][2]string{{"root", l.at("root")}, {"state", l.at("state")}, {"temp", l.at("tmp")}} {
		fmt.Fprintf(&b, "%s = %s\n", kv[0], quote(kv[1]))
	}
	b.WriteString("disabled_plugins = [")
	for i, name := range unused {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(name))
	}
	b.WriteString("]\n")
	fmt.Fprintf(&b, "[grpc]\n  address = %s\n[ttrpc]\n  address = %s\n[debug]\n  level = \"warn\"\n", quote(l.socket()), quote(l.ttrpc()))
	// Where ours is too long, and in 1.6 always, shims' sockets lie in /run/containerd/s, under names that tell
	// containerds apart.
	if dir := l.at("s"); v.Major >= 2 && len(dir) <= longestShimDir {
		fmt.Fprintf(&b, "[plugins.\"io.containerd.shim.v1.manager\"]\n  socket_dir = %s\n", quote(dir))
	}
	return b.String()
}

// quote writes a TOML string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
