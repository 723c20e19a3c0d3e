package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/palisade-run/palisade/sessions"
)

// deviceFiles are the files of /dev behind a session's devices: named by path, or by the Container Device
// Interface, of which a plain process needs the device files alone; libraries it has from the box.
func deviceFiles(devices, specDirs []string) ([]string, error) {
	var files, named []string
	for _, d := range devices {
		if !filepath.IsAbs(d) {
			named = append(named, d)
			continue
		}
		if clean := filepath.Clean(d); clean != d || !strings.HasPrefix(d, "/dev/") {
			return nil, fmt.Errorf("device %s is no file of /dev: %w", d, sessions.ErrInvalid)
		}
		if _, err := os.Stat(d); err != nil {
			return nil, fmt.Errorf("device %s: it does not exist on this box", d)
		}
		files = append(files, d)
	}
	if len(named) > 0 {
		found, err := namedFiles(named, specDirs)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func namedFiles(named, specDirs []string) ([]string, error) {
	options := []cdi.Option{cdi.WithAutoRefresh(false)}
	if specDirs != nil {
		options = append(options, cdi.WithSpecDirs(specDirs...))
	}
	cache, err := cdi.NewCache(options...)
	if err != nil {
		return nil, fmt.Errorf("reading the box's CDI files: %w", err)
	}
	var files []string
	for _, name := range named {
		device := cache.GetDevice(name)
		if device == nil {
			return nil, fmt.Errorf("this box describes no device %s in %s", name, strings.Join(cache.GetSpecDirectories(), " or "))
		}
		for _, edits := range []*cdi.ContainerEdits{{ContainerEdits: &device.ContainerEdits}, {ContainerEdits: &device.GetSpec().ContainerEdits}} {
			for _, node := range edits.DeviceNodes {
				file := node.HostPath
				if file == "" {
					file = node.Path
				}
				if _, err := os.Stat(file); err == nil && strings.HasPrefix(file, "/dev/") {
					files = append(files, filepath.Clean(file))
				}
			}
		}
	}
	return files, nil
}
