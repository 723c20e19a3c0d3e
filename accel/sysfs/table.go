package sysfs

import "github.com/palisade-run/palisade/accel"

// kind is one row of the table: a sort of device and what is its own about it.
type kind struct {
	slot accel.Slot
	name string // for people, where the device does not tell a better one

	// How it is recognised: a PCI device with one of the ids ("1da3:1020"; "1d95:*" is every accelerator of a vendor) ...
	ids []string
	// ... whose entry in a class of sysfs has one of the values. "" needs no such.
	attribute string
	values    []string // prefixes
	// Or, where no id is known: every device that a CDI specification of its vendor names.
	onlyCDI bool

	// class is where its driver puts an entry for each device, and entry what the names of entries begin with; the number
	// at their end is the device's. Without an entry, devices are numbered by PCI address.
	class, entry string

	// How a session is given it.
	vendor string   // of CDI specifications
	nodes  []string // device files, as patterns; # is the number
	shared []string // device files that all devices need
	env    []string // variables that list the devices
	item   string   // what stands for one device in that list; # is the number. "" is "#"

	// What is read of it, below its entry in the class, or below the PCI device ("device/...").
	total, used   string // files with bytes
	busy          string // file with a percentage
	state, broken string // file with its state, and what the state begins with where it is broken
	well          string // or: what it begins with where it is well
}

// kinds is all that is known. An id stands here only where a source tells it: the PCI ID database, the kernel's
// driver, or the vendor's own programs. What was only inferred is marked so: none of it has been run on a device.
var kinds = []kind{
	{
		// Ids, /sys/class/accel, device files and the state: the kernel's habanalabs driver, Intel's own programs.
		slot: "gaudi2.device", name: "Intel Gaudi 2", ids: []string{"1da3:1020", "1da3:1021"}, class: "accel", entry: "accel",
		vendor: "habana.ai", nodes: []string{"/dev/accel/accel#", "/dev/accel/accel_controlD#"}, env: []string{"HABANA_VISIBLE_DEVICES"},
		state: "device/status", well: "Operational",
	},
	{
		slot: "gaudi3.device", name: "Intel Gaudi 3", ids: []string{"1da3:1060", "1da3:1062", "1da3:1063"}, class: "accel", entry: "accel",
		vendor: "habana.ai", nodes: []string{"/dev/accel/accel#", "/dev/accel/accel_controlD#"}, env: []string{"HABANA_VISIBLE_DEVICES"},
		state: "device/status", well: "Operational",
	},
	{
		// Id, device files and variable: FuriosaAI's documentation and libraries. The class is inferred.
		slot: "rngd.device", name: "FuriosaAI RNGD", ids: []string{"1ed2:0001"}, class: "rngd_mgmt", entry: "rngd!npu",
		vendor: "furiosa.ai", nodes: []string{"/dev/rngd/npu#", "/dev/rngd/npu#[^0-9]*"}, env: []string{"FURIOSA_DEVICES"}, item: "npu:#",
	},
	{
		// Id: the PCI ID database. Device files: FuriosaAI's libraries. The class is inferred.
		slot: "warboy.device", name: "FuriosaAI Warboy", ids: []string{"1ed2:0000"}, class: "npu_mgmt", entry: "npu",
		vendor: "furiosa.ai", nodes: []string{"/dev/npu#", "/dev/npu#[^0-9]*"}, env: []string{"FURIOSA_DEVICES"}, item: "npu:#",
	},
	// Vendor, class, names of the cards, states and memory: Rebellions' documentation, operator and vLLM plugin. The ids of
	// the single cards are not known, so they are told apart by their names. That used memory is in dram_used is inferred.
	atom("atom.device", "Rebellions ATOM", "RBLN-CA02"),
	atom("atom-plus.device", "Rebellions ATOM+", "RBLN-CA12", "RBLN-CA22"),
	atom("atom-max.device", "Rebellions ATOM-Max", "RBLN-CA25"),
	{
		// Id, class, attribute and device files: Tenstorrent's kernel driver. n150 and n300 have the same id. The vendor of
		// CDI specifications is inferred.
		slot: "tt-n300.device", name: "Tenstorrent Wormhole n300", ids: []string{"1e52:401e"}, class: "tenstorrent", entry: "tenstorrent!",
		attribute: "tt_card_type", values: []string{"n300"},
		vendor: "tenstorrent.com", nodes: []string{"/dev/tenstorrent/#"}, env: []string{"TT_VISIBLE_DEVICES"},
	},
	{
		// Ids: those that Google's tpu-info knows (v2 and v3, v4, v5p, v5e, v6e, v7). Device files: /dev/accel# up to v4,
		// VFIO from v5 on, where the number is that of the IOMMU group.
		slot: "tpu.device", name: "Google TPU", ids: []string{"1ae0:0027", "1ae0:005e", "1ae0:0062", "1ae0:0063", "1ae0:006f", "1ae0:0076"},
		class: "accel", entry: "accel", vendor: "google.com", nodes: []string{"/dev/accel#", vfioNode},
		env: []string{"TPU_VISIBLE_CHIPS", "TPU_VISIBLE_DEVICES"},
	},
	{
		// Vendor: the PCI ID database. The ids of the second generation are not known, so every accelerator of the vendor
		// counts. The device files are inferred; no variable is known.
		slot: "ipu.device", name: "Graphcore IPU", ids: []string{"1d95:*"}, class: "ipu", entry: "ipu", vendor: "graphcore.ai",
		nodes: []string{"/dev/ipu#", "/dev/ipu#_*"},
	},
	{
		// Nothing of it is public: only a CDI specification of the vendor makes it known, and even the vendor's name is inferred.
		slot: "hyperaccel-lpu.device", name: "HyperAccel LPU", onlyCDI: true, vendor: "hyperaccel.ai",
	},
}

func atom(slot accel.Slot, name string, cards ...string) kind {
	return kind{
		slot: slot, name: name, ids: []string{"1eff:*"}, class: "rebellions", entry: "rbln", attribute: "card_name", values: cards,
		vendor: "rebellions.ai", nodes: []string{"/dev/rbln#"}, env: []string{"RBLN_DEVICES"},
		total: "dram_total", used: "dram_used", state: "status", broken: "3",
	}
}

// vfioNode stands for the device file of a device's IOMMU group, with the one that every user of VFIO needs.
const vfioNode = "vfio"
