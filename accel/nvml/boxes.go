package nvml

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// SimulateOptions says how simulated devices behave. The zero value is devices that do something, and on
// which nobody's memory lies.
type SimulateOptions struct {
	// Held tells how much of a device (by ID) is in use by sessions that run, 0 to 1: its memory,
	// utilization and power follow. It is asked at each Sample, from that goroutine. A session that has ended must
	// not count any more, even while its claim waits for the memory to be free. nil: see above.
	Held func(device string) float64
}

// gpu names a GPU of the library's mocks, with what they do not say.
type gpu struct {
	kind    string  // key of the mocks
	idle    float64 // watts
	most    float64 // watts
	nvlinks int     // to a switch; 0 for cards without
}

// simulatedBox is a box that does not exist.
type simulatedBox struct {
	gpu   gpu
	buses []uint32 // PCI buses of its cards, as on the real one
}

// simulatedBoxes are the boxes that can be simulated. Each may be followed by "-mig": then the last two of its
// cards are cut into slices (the only one where there is one).
var simulatedBoxes = map[string]simulatedBox{
	"dgxa100": {gpu{"a100-sxm4-40gb", 52, 400, 12}, []uint32{0x07, 0x0f, 0x47, 0x4e, 0x87, 0x90, 0xb7, 0xbd}},
	"dgxh100": {gpu{"h100-sxm5-80gb", 70, 700, 18}, []uint32{0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf}},
	"dgxh200": {gpu{"h200-sxm5-141gb", 75, 700, 18}, []uint32{0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf}},
	"dgxb200": {gpu{"b200-sxm5-180gb", 140, 1000, 18}, []uint32{0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf}},
	"a30x4":   {gpu{"a30-pcie-24gb", 29, 165, 0}, []uint32{0x17, 0x65, 0xca, 0xe3}},
	"a100x2":  {gpu{"a100-pcie-80gb", 46, 300, 0}, []uint32{0x17, 0xca}},
	"h100x1":  {gpu{"h100-sxm5-80gb", 70, 700, 0}, []uint32{0x1b}},
}

func findBox(name string) (b simulatedBox, mig bool, err error) {
	base, mig := strings.CutSuffix(name, "-mig")
	b, known := simulatedBoxes[base]
	if !known {
		return b, false, &failure{
			kind: ErrUnknownBox, text: fmt.Sprintf("%v: %q", ErrUnknownBox, name),
			hint: "known are " + strings.Join(slices.Sorted(maps.Keys(simulatedBoxes)), ", ") + "; each also with -mig",
		}
	}
	return b, mig, nil
}

// simulatedGrant is what a session is given where nothing is behind the devices: only the variables.
func simulatedGrant(shares []accel.Share, known map[string]found) (accel.Grant, error) {
	grant, err := handOver(shares, known, nil, nil)
	if err != nil {
		return accel.Grant{}, err
	}
	return withShares(grant, shares, nil)
}

// activity is how hard a simulated device works at a moment.
type activity struct {
	load        float64 // 0 to 1
	memory      float64 // part of its memory, 0 to 1
	temperature float64
	power       float64 // watts
}

// motion is how a simulated device moves: the same for a seed and a moment wherever it is asked. held is the part
// that sessions have, 0 to 1; below 0 nobody says, and the device works as if it were used while its memory stays free.
//
// Three waves of different length make the load: minutes of work, requests that come and go, and a jitter.
func motion(seed uint64, held float64, card gpu, now time.Time) activity {
	phase := float64(seed%1000) / 1000 * 2 * math.Pi
	wave := func(period time.Duration, times float64) float64 {
		turns := math.Mod(float64(now.UnixNano()), float64(period)) / float64(period)
		return math.Sin(2*math.Pi*turns+phase*times)/2 + 0.5
	}
	busy := 0.55*wave(11*time.Minute, 1) + 0.35*wave(97*time.Second, 3) + 0.10*wave(7*time.Second, 7)
	const driver = 0.001 // what the driver itself keeps; more would look like somebody else on the device
	a := activity{memory: driver + 0.001*wave(13*time.Minute, 2), load: busy}
	if held >= 0 {
		held = min(held, 1)
		a.load = busy * held
		a.memory = driver + held*(0.78+0.12*wave(17*time.Minute, 2))
		if held == 0 {
			a.memory = driver
		}
	}
	a.power = card.idle + (card.most-card.idle)*0.92*a.load + 2*wave(5*time.Second, 5)
	a.temperature = 29 + 42*(0.8*a.load+0.2*wave(23*time.Minute, 4)*a.load)
	return a
}
