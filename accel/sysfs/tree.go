package sysfs

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree reads the files of a box. What is not there is "", and a number that is none is -1: sysfs differs with kernels
// and drivers, and what one does not tell is not known.
type tree struct{ fs.FS }

func (t tree) text(name string) string {
	data, err := fs.ReadFile(t, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (t tree) number(name string) int64 {
	n, err := strconv.ParseInt(t.text(name), 0, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func (t tree) names(dir string) []string {
	entries, err := fs.ReadDir(t, dir)
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// files lists the files of the box that a pattern like /dev/npu0* names.
func (t tree) files(pattern string) []string {
	names, err := fs.Glob(t, strings.TrimPrefix(pattern, "/"))
	if err != nil {
		return nil
	}
	var files []string
	for _, name := range names {
		if info, err := fs.Stat(t, name); err == nil && !info.IsDir() {
			files = append(files, "/"+name)
		}
	}
	return files
}

// uevent reads one of the values that the kernel tells of a device.
func (t tree) uevent(device, key string) string {
	for line := range strings.Lines(t.text(device + "/uevent")) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && name == key {
			return value
		}
	}
	return ""
}

const pciDevices = "sys/bus/pci/devices"

// pci is one device on a PCI bus.
type pci struct {
	address string // 0000:03:00.0
	vendor  string // 1002
	device  string
	class   string // 0x030000
}

// buses lists the PCI devices of the box by address.
func (t tree) buses() []pci {
	var all []pci
	for _, address := range t.names(pciDevices) {
		dir := path.Join(pciDevices, address)
		all = append(all, pci{
			address: address, vendor: strings.TrimPrefix(t.text(dir+"/vendor"), "0x"),
			device: strings.TrimPrefix(t.text(dir+"/device"), "0x"), class: t.text(dir + "/class"),
		})
	}
	return all
}

// accelerates tells a device that computes from the bridges, controllers and sound of the same vendor.
func (p pci) accelerates() bool {
	return slices.ContainsFunc([]string{"0x12", "0x0b40", "0x03"}, func(class string) bool { return strings.HasPrefix(p.class, class) })
}

// memoryNode is the one that the device is near to; -1 where the box does not say.
func (t tree) memoryNode(address string) int {
	if address == "" {
		return -1
	}
	return int(t.number(path.Join(pciDevices, address, "numa_node")))
}

// numberOf is the number at the end of an entry's name, or before its suffix: accel3, rngd!npu3mgmt. -1: none.
func numberOf(name, prefix string) int {
	rest, found := strings.CutPrefix(name, prefix)
	if !found {
		return -1
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest = rest[:end]
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return -1
	}
	return n
}

// hwmon reads the thermometer and the power meter that a driver registers with the kernel: degrees Celsius and watts, -1 unknown.
func (t tree) hwmon(device string) (temperature, power float64) {
	temperature, power = -1, -1
	for _, name := range t.names(device + "/hwmon") {
		dir := path.Join(device, "hwmon", name)
		if n := t.number(dir + "/temp1_input"); temperature < 0 && n >= 0 {
			temperature = float64(n) / 1000
		}
		for _, file := range []string{"power1_average", "power1_input"} {
			if n := t.number(path.Join(dir, file)); power < 0 && n >= 0 {
				power = float64(n) / 1e6
			}
		}
	}
	return temperature, power
}
