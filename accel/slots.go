package accel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// ErrInvalid marks a request for resources that no box could ever grant as it is written.
var ErrInvalid = errors.New("invalid resources")

// Slot names one kind of resource: "cpu", "mem", "cuda.device", "cuda.shares", ...
type Slot string

// The slots that every box has.
const (
	SlotCPU Slot = "cpu"
	SlotMem Slot = "mem"
)

// Amount of a slot in its smallest unit, so that sums are exact: thousandths of a core for cpu, bytes
// for mem, hundredths of a device for everything else.
type Amount int64

// Slots is an amount of each of several resources.
type Slots map[Slot]Amount

// leastMemory is what nothing starts in: who asks for less forgot a unit.
const leastMemory = 4 << 20

// Smallest units in one of what people write.
const (
	milliPerCore        = 1000
	hundredthsPerDevice = 100
)

// What no box has: asks above it are slips of the pen.
const (
	mostCores   = 1 << 16
	mostDevices = 1 << 10
	mostMemory  = 1 << 50 // bytes
)

// devices are the accelerator slots that Palisade knows, with whether fractions are allowed.
var devices = map[Slot]bool{
	"cuda.device": false, "cuda.shares": true, "rocm.device": false, "tpu.device": false, "ipu.device": false,
	"gaudi2.device": false, "gaudi3.device": false, "atom.device": false, "atom-plus.device": false,
	"atom-max.device": false, "warboy.device": false, "rngd.device": false, "hyperaccel-lpu.device": false,
	"tt-n300.device": false,
}

// ParseSlots reads amounts as people write them ({cpu: "4", mem: "32g", cuda.shares: "0.5"}). All
// problems are reported together; the error is ErrInvalid.
func ParseSlots(written map[string]string) (Slots, error) {
	slots := Slots{}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(written)) {
		amount, err := parseAmount(Slot(name), written[name])
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		slots[Slot(name)] = amount
	}
	if clash := slots.clash(); clash != "" {
		wrong = append(wrong, clash)
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrInvalid, strings.Join(wrong, "; "))
	}
	return slots, nil
}

// Accelerators returns the names of the device slots that are asked for, sorted.
func (s Slots) Accelerators() []Slot {
	var names []Slot
	for name, amount := range s {
		if name != SlotCPU && name != SlotMem && amount > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// kind says which of the three ways to have a GPU a slot is: cuda.device, cuda.shares or a MIG slice.
func (s Slot) kind() string {
	if base, _, slice := strings.Cut(string(s), ":"); slice {
		return base + " slices"
	}
	return string(s)
}

// family is what stands before the first dot: it picks the plugin.
func (s Slot) family() string {
	family, _, _ := strings.Cut(string(s), ".")
	return family
}

// fractional says whether parts of a device may be asked for.
func (s Slot) fractional() bool { return strings.HasSuffix(string(s), ".shares") }

// Cores is how many threads the cores that are asked for keep busy: whole ones, at least one; 0 where none are asked for.
func (s Slots) Cores() int {
	if s[SlotCPU] <= 0 {
		return 0
	}
	return max(1, int(s[SlotCPU]/milliPerCore))
}

// clash says which of the slots exclude each other in one session; "" none do.
func (s Slots) clash() string {
	kinds := map[string]Slot{} // by family
	for _, name := range s.Accelerators() {
		family := name.family()
		if other, taken := kinds[family]; taken && other.kind() != name.kind() {
			return fmt.Sprintf("%s and %s exclude each other in one session", other, name)
		}
		kinds[family] = name
	}
	return ""
}

func parseAmount(name Slot, text string) (Amount, error) {
	switch name {
	case SlotCPU:
		return parseDecimal(name, text, milliPerCore, mostCores)
	case SlotMem:
		n, err := ParseSize(text)
		switch {
		case err != nil:
			return 0, fmt.Errorf("mem: %w", err)
		case n > mostMemory:
			return 0, fmt.Errorf("mem: %q is more than any box has", text)
		case n < leastMemory:
			return 0, fmt.Errorf("mem: %q is %s, in which nothing starts; write it like 512m or 2g", text, bytesize.Format(n))
		}
		return Amount(n), nil
	}
	base, profile, mig := strings.Cut(string(name), ":")
	fractional, known := devices[Slot(base)]
	if !known || mig && (base != "cuda.device" || len(profile) <= len("-mig") || !strings.HasSuffix(profile, "-mig")) {
		return 0, fmt.Errorf("%s: no such resource; %s", name, cmp.Or(meant(name), "known are cpu, mem and "+deviceNames()))
	}
	amount, err := parseDecimal(name, text, hundredthsPerDevice, mostDevices)
	switch {
	case err != nil:
		return 0, err
	case mig && amount != hundredthsPerDevice:
		return 0, fmt.Errorf("%s: %q is not 1; a session has one slice of a profile", name, text)
	case !fractional && amount%hundredthsPerDevice != 0:
		return 0, fmt.Errorf("%s: %q is not a whole number; fractions are asked for as cuda.shares", name, text)
	}
	return amount, nil
}

// meant says what a resource is called here that has another name elsewhere, "" where nobody is known to call it so.
func meant(name Slot) string {
	switch strings.ToLower(string(name)) {
	case "gpu", "gpus", "cuda", "nvidia", "nvidia.com/gpu", "gpu.device", "cuda.devices", "gres":
		return "GPUs of NVIDIA are cuda.device, parts of them cuda.shares, and GPUs of AMD rocm.device"
	case "amd.com/gpu", "rocm":
		return "GPUs of AMD are rocm.device"
	case "google.com/tpu", "tpu":
		return "TPUs are tpu.device"
	case "memory", "ram", "mem-per-cpu":
		return "memory is mem, with its unit: mem=4g"
	case "cpus", "core", "cores", "vcpu", "vcpus", "cpus-per-task":
		return "cores are cpu"
	case "shm", "shmem", "shm-size":
		return "/dev/shm is no resource but an option: --resource-opts shmem=2g"
	}
	return ""
}

// parseDecimal reads a decimal number exactly, in units of 1/scale.
func parseDecimal(name Slot, text string, scale, most int64) (Amount, error) {
	value, err := strconv.ParseFloat(text, 64)
	if strings.Trim(text, "0123456789.eE+-") != "" || err != nil && !errors.Is(err, strconv.ErrRange) {
		want := "a number of devices, such as 1"
		if name == SlotCPU {
			want = "cores, such as 4 or 0.5"
		}
		return 0, fmt.Errorf("%s: %q is not %s", name, text, want)
	}
	switch {
	case value <= 0:
		return 0, fmt.Errorf("%s: %q must be more than 0", name, text)
	case value > float64(most):
		return 0, fmt.Errorf("%s: %q is more than any box has", name, text)
	}
	// The shortest digits that mean this number are what was written: no rounding comes between.
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(value, 'f', -1, 64), ".")
	digits := len(strconv.FormatInt(scale, 10)) - 1
	if len(fraction) > digits {
		return 0, fmt.Errorf("%s: %q is finer than 1/%d", name, text, scale)
	}
	amount, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q: %w", name, text, err)
	}
	return Amount(amount), nil
}

// ParseSize reads a number of bytes: "1048576", "256m", "2g", "8gb", "1t", "1.5GiB". Units are binary.
func ParseSize(text string) (int64, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	number := strings.TrimRight(lower, "bikmgtp")
	unit := strings.TrimSuffix(strings.TrimSuffix(lower[len(number):], "b"), "i")
	shift := strings.Index(" kmgtp", unit)
	if unit == "" {
		shift = 0
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || shift < 0 || len(unit) > 1 || math.IsNaN(value) {
		return 0, fmt.Errorf("%q is not a size; write it like 512m, 2g or 1t", text)
	}
	bytes := value * float64(int64(1)<<(10*shift))
	switch {
	case bytes < 1:
		return 0, fmt.Errorf("%q must be more than 0", text)
	case bytes > 1<<60:
		return 0, fmt.Errorf("%q is more than any box has", text)
	}
	return int64(bytes), nil
}

func deviceNames() string {
	names := make([]string, 0, len(devices))
	for name := range devices {
		names = append(names, string(name))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
