// Package mps holds sessions to their parts of NVIDIA's devices: it keeps NVIDIA's Multi-Process Service running, where
// the driver brings it, and says what a session needs in order to be its client. It knows nothing of how devices are
// found, nor of claims.
package mps

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

// Limits are the variables that hold a client of MPS to its shares. Devices are numbered as the session sees them: in
// the order of the shares, from 0.
//  1. Memory, per device: more than that, and an allocation of the session fails as on a smaller device.
//  2. Threads, one number for all devices: the smallest share, so that no device is used by more than was given of it.
//     It is left out where every share is a whole device.
//
// CUDA_MPS_ENABLE_PER_CTX_DEVICE_MULTIPROCESSOR_PARTITIONING stays unset: it would let each context of the session set
// its own percentage, and hold nobody more firmly.
func Limits(shares []accel.Share) map[string]string {
	var memory []string
	least, devices := accel.Amount(100), map[string]int{}
	for _, share := range merged(shares) {
		number := len(devices)
		devices[share.Device] = number
		least = min(least, share.Amount)
		if share.Memory > 0 {
			memory = append(memory, strconv.Itoa(number)+"="+size(share.Memory))
		}
	}
	env := map[string]string{}
	if len(memory) > 0 { // 1
		env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = strings.Join(memory, ",")
	}
	if least < 100 { // 2
		env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = strconv.FormatInt(max(int64(least), 1), 10)
	}
	return env
}

// merged adds up shares of the same device: a session sees a device once.
func merged(shares []accel.Share) []accel.Share {
	var all []accel.Share
	at := map[string]int{}
	for _, share := range shares {
		i, seen := at[share.Device]
		if !seen {
			at[share.Device] = len(all)
			all = append(all, share)
			continue
		}
		all[i].Amount += share.Amount
		all[i].Memory += share.Memory
	}
	return all
}

// size writes bytes as MPS reads them: whole numbers of G or M, both binary. It rounds down, but never to nothing.
func size(bytes int64) string {
	const mib, gib = 1 << 20, 1 << 30
	if bytes%gib == 0 {
		return fmt.Sprintf("%dG", bytes/gib)
	}
	return fmt.Sprintf("%dM", max(bytes/mib, 1))
}
