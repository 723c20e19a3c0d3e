package nvml

import "fmt"

// xidWords name the Xid errors that one meets, after NVIDIA's catalogue of them. Others are shown by number.
var xidWords = map[uint64]string{
	48: "an uncorrectable memory error", 61: "its microcontroller stopped", 62: "its microcontroller halted",
	64: "a row of memory could not be remapped", 74: "an NVLink failed", 79: "fell off the bus",
	94: "a contained memory error", 95: "an uncontained memory error", 119: "its GSP does not answer",
	120: "its GSP failed", 140: "an unrecovered memory error", 143: "the GPU did not start",
}

// xidOfProgram are the Xid errors that a program of a user brings about by itself, or that only tell of
// something. The device is well.
var xidOfProgram = map[uint64]bool{
	13:  true, // exception in a kernel
	31:  true, // page fault
	43:  true, // a program's channel was stopped
	45:  true, // clean-up after a program that was killed
	63:  true, // a row of memory was remapped: the repair, not the damage
	68:  true, // exception of the video processor
	92:  true, // many corrected memory errors
	109: true, // a program's context switch took too long
}

// eventFault is the sentence for an event that takes its device out of use, or "" for one that does not.
func eventFault(e event) string {
	switch {
	case e.xid == 0:
		return "an uncorrectable memory error; reset the GPU or reboot"
	case xidOfProgram[e.xid]:
		return ""
	case xidWords[e.xid] != "":
		return fmt.Sprintf("Xid %d: %s; reset the GPU or reboot", e.xid, xidWords[e.xid])
	}
	return fmt.Sprintf("Xid %d; reset the GPU or reboot", e.xid)
}

// health is what a card keeps count of since its driver was loaded.
type health struct {
	uncorrected uint64 // memory errors that it could not correct
	remapFailed bool   // it has no spare rows of memory left
}

// fault is the sentence for counts that take a card out of use, or "".
func (h health) fault() string {
	switch {
	case h.remapFailed:
		return "no spare rows of memory are left: the GPU is to be replaced"
	case h.uncorrected > 0:
		return fmt.Sprintf("%d uncorrectable memory errors since the driver was loaded; reset the GPU or reboot", h.uncorrected)
	}
	return ""
}
