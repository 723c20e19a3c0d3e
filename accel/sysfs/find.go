package sysfs

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

// unit is one device that was found, with how it is asked and handed over.
type unit struct {
	accel.Device
	entry  string // its entry in a class of sysfs; "" none
	device string // its PCI device in sysfs; "" none
	cdi    string // its name in a specification; "" none
	nodes  []string
	env    []string
	item   string // what stands for it in the variables
	read   func(t tree, u unit) accel.Sample
}

// find lists the devices of a kind, by number.
//  1. Its PCI devices, each with the entry in its class where there is one.
//  2. Where an attribute tells kinds of one id apart, only those whose entry has it.
//  3. Kinds that only specifications know: what those name.
//  4. A device that no session could open is listed with that fault.
func (k kind) find(t tree, buses []pci, specified []string) []unit {
	if k.onlyCDI { // 3
		return k.fromSpecifications(specified)
	}
	entries := k.entries(t)
	var units []unit
	for _, p := range buses {
		if !k.matches(p) {
			continue
		}
		entry := entries[p.address]
		if k.attribute != "" && !k.told(t, entry) { // 2
			continue
		}
		u := unit{entry: entry, device: path.Join(pciDevices, p.address), env: k.env, read: k.sample}
		number := numberOf(path.Base(entry), k.entry)
		if number < 0 {
			number = len(units)
		}
		u.Device = accel.Device{
			ID: p.address, Index: number, Family: family(k.slot), Slot: k.slot, Name: k.name,
			Memory: max(k.file(t, u, k.total), 0), NUMA: t.memoryNode(p.address), PCI: p.address,
		}
		u.nodes = k.files(t, u)
		u.item = strings.ReplaceAll(cmp.Or(k.item, "#"), "#", strconv.Itoa(number))
		u.cdi = named(specified, k.vendor, u)
		if u.cdi == "" && len(u.nodes) == 0 { // 4
			u.Fault = "the box has no device file for it: is its driver installed and loaded?"
		} else {
			u.Fault = k.fault(t, u)
		}
		units = append(units, u)
	}
	slices.SortStableFunc(units, func(a, b unit) int { return a.Index - b.Index })
	return units
}

func (k kind) fromSpecifications(specified []string) []unit {
	var units []unit
	for _, name := range specified {
		vendor, rest, _ := strings.Cut(name, "/")
		_, device, _ := strings.Cut(rest, "=")
		if vendor != k.vendor || device == "all" {
			continue
		}
		units = append(units, unit{
			Device: accel.Device{ID: name, Index: len(units), Family: family(k.slot), Slot: k.slot, Name: k.name, NUMA: -1},
			cdi:    name, read: k.sample,
		})
	}
	return units
}

// entries maps PCI addresses to the entries of the kind's class.
func (k kind) entries(t tree) map[string]string {
	all := map[string]string{}
	for _, name := range t.names(path.Join("sys/class", k.class)) {
		if numberOf(name, k.entry) < 0 {
			continue
		}
		entry := path.Join("sys/class", k.class, name)
		address := t.uevent(entry+"/device", "PCI_SLOT_NAME")
		if address == "" {
			address = t.text(entry + "/busname") // as FuriosaAI's drivers tell it
		}
		if _, taken := all[address]; address != "" && !taken {
			all[address] = entry
		}
	}
	return all
}

func (k kind) matches(p pci) bool {
	return slices.Contains(k.ids, p.vendor+":"+p.device) || slices.Contains(k.ids, p.vendor+":*") && p.accelerates()
}

func (k kind) told(t tree, entry string) bool {
	if entry == "" {
		return false
	}
	value := t.text(path.Join(entry, k.attribute))
	return value != "" && slices.ContainsFunc(k.values, func(v string) bool { return strings.HasPrefix(value, v) })
}

// files lists the device files of a unit that are there.
func (k kind) files(t tree, u unit) []string {
	var files []string
	for _, pattern := range k.nodes {
		if pattern != vfioNode {
			files = append(files, t.files(strings.ReplaceAll(pattern, "#", strconv.Itoa(u.Index)))...)
			continue
		}
		group, err := fs.ReadLink(t.FS, u.device+"/iommu_group")
		if err != nil || len(files) > 0 {
			continue
		}
		if node := t.files("/dev/vfio/" + path.Base(group)); len(node) > 0 {
			files = append(files, append(node, t.files("/dev/vfio/vfio")...)...)
		}
	}
	if len(files) == 0 {
		return nil
	}
	for _, pattern := range k.shared {
		files = append(files, t.files(pattern)...)
	}
	return files
}

// file reads the number in a file of a unit; -1 where there is none.
func (k kind) file(t tree, u unit, name string) int64 {
	switch rest, below := strings.CutPrefix(name, "device/"); {
	case name == "":
		return -1
	case below:
		return t.number(path.Join(u.device, rest))
	case u.entry == "":
		return -1
	}
	return t.number(path.Join(u.entry, name))
}

// fault is what the unit's state says, where its driver tells one.
func (k kind) fault(t tree, u unit) string {
	name := path.Join(u.entry, k.state)
	if rest, below := strings.CutPrefix(k.state, "device/"); below {
		name = path.Join(u.device, rest)
	}
	if k.state == "" || name == k.state {
		return ""
	}
	state := t.text(name)
	bad := k.broken != "" && strings.HasPrefix(state, k.broken) || k.well != "" && !strings.HasPrefix(state, k.well)
	if state == "" || !bad {
		return ""
	}
	return fmt.Sprintf("its driver says that its state is %q", state)
}

// sample reads how a unit is. Only what the table names and what the kernel has for all is known.
func (k kind) sample(t tree, u unit) accel.Sample {
	s := accel.Sample{Device: u.ID, Utilization: -1, MemoryUsed: k.file(t, u, k.used), Temperature: -1, Power: -1}
	if busy := k.file(t, u, k.busy); busy >= 0 {
		s.Utilization = min(float64(busy)/100, 1)
	}
	if u.device != "" {
		s.Temperature, s.Power = t.hwmon(u.device)
		if t.text(u.device+"/vendor") == "" {
			s.Fault = "fell off the bus"
			return s
		}
	}
	s.Fault = k.fault(t, u)
	return s
}

// named is the name of a unit in a specification of its vendor: by identity, PCI address, number, or the name of its
// device file.
func named(specified []string, vendor string, u unit) string {
	candidates := []string{u.ID, u.PCI, strconv.Itoa(u.Index)}
	if u.entry != "" {
		candidates = append(candidates, path.Base(u.entry))
	}
	for _, node := range u.nodes {
		candidates = append(candidates, path.Base(node))
	}
	for _, candidate := range candidates {
		for _, name := range specified {
			if strings.HasPrefix(name, vendor+"/") && strings.HasSuffix(name, "="+candidate) {
				return name
			}
		}
	}
	return ""
}

func family(s accel.Slot) string {
	name, _, _ := strings.Cut(string(s), ".")
	return name
}
