package accel_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// Each file is the root of a box, with what is to be found in it, or why nothing can be.
func TestInventory(t *testing.T) {
	files, err := filepath.Glob("testdata/inventory/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			root, want := fstest.MapFS{}, ""
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				root[f.Name] = &fstest.MapFile{Data: f.Data, Mode: fs.FileMode(0o444)}
			}
			if diff := cmp.Diff(want, describe(accel.Inventory(root))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func describe(n accel.Node, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintln(&b, accel.Slots{"cpu": n.CPU, "mem": n.Memory})
	for _, m := range n.NUMA {
		fmt.Fprintf(&b, "node %d: %s, %s\n", m.ID, n.Cores(m.ID), bytesize.Format(m.Memory))
	}
	return b.String()
}

func TestInventoryOfThisBox(t *testing.T) {
	n, err := accel.Inventory(os.DirFS("/"))
	if err != nil || n.CPU <= 0 || n.Memory < 64<<20 {
		t.Error(n, err)
	}
}

func TestFormatCores(t *testing.T) {
	for want, cores := range map[string][]int{"": nil, "0": {0}, "0-3": {3, 1, 0, 2}, "0-1,4,6-7": {0, 1, 4, 6, 7, 7}} {
		if got := accel.FormatCores(cores); got != want {
			t.Errorf("%v: %q, want %q", cores, got, want)
		}
	}
}

func FuzzInventory(f *testing.F) {
	f.Add("MemTotal: 1 kB", "Cpus_allowed_list: 0-1", "0::/a", "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 x rw", "100 1000", "0-3")
	f.Fuzz(func(t *testing.T, meminfo, status, cgroup, mounts, cpu, online string) {
		root := fstest.MapFS{}
		for name, text := range map[string]string{
			"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts,
			"sys/fs/cgroup/cpu.max": cpu, "sys/fs/cgroup/a/memory.max": cpu, "sys/devices/system/cpu/online": online,
		} {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if n, err := accel.Inventory(root); err == nil && (n.CPU <= 0 || n.Memory < 0) {
			t.Error(n)
		}
	})
}
