package nvml

import (
	"cmp"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// memoryNode reads which memory node a device is near to; -1 where the box has one, or does not say.
func memoryNode(sys fs.FS, pci string) int {
	if pci == "" {
		return -1
	}
	text, err := fs.ReadFile(sys, "bus/pci/devices/"+pci+"/numa_node")
	if err != nil {
		return -1
	}
	node, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || node < 0 {
		return -1
	}
	return node
}

func firstOf(texts ...string) string { return cmp.Or(texts...) }

func sorted[K cmp.Ordered](keys iter.Seq[K]) []K { return slices.Sorted(keys) }

// nowhere is a file system with nothing in it: what a simulated box has of files.
type nowhere struct{}

func (nowhere) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
