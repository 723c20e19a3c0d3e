package nvml

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// attributes are what a slice is cut to.
type attributes struct {
	gpuSlices, computeSlices int
	memory                   int64 // bytes
}

// profile is the name that NVIDIA's tools give a slice: "1g.10gb". The device's name holds it where the
// driver is recent ("NVIDIA A100-SXM4-40GB MIG 1g.5gb"); else it follows from the slice's size: memory counts in
// eighths of the card, and the profile's number is that part of the card's memory in GiB, rounded.
func profile(name string, a attributes, cardMemory int64) string {
	if _, named, found := strings.Cut(name, " MIG "); found && named != "" {
		return named
	}
	if a.gpuSlices <= 0 || cardMemory <= 0 {
		return ""
	}
	const gib = 1 << 30
	eighths := math.Ceil(float64(a.memory)/float64(cardMemory)*8) / 8
	whole := math.Ceil(float64(cardMemory) / gib)
	size := fmt.Sprintf("%dg.%dgb", a.gpuSlices, int(math.Round(eighths*whole)))
	if a.computeSlices > 0 && a.computeSlices < a.gpuSlices {
		return fmt.Sprintf("%dc.%s", a.computeSlices, size)
	}
	return size
}

// minorsFile tells the numbers of the device files that let a session into a slice.
const minorsFile = "driver/nvidia-caps/mig-minors"

// capabilities lists the device files for a slice, from /proc's table of them; nil where it has none.
func capabilities(proc fs.FS, minor int, s slice) []string {
	table, err := fs.ReadFile(proc, minorsFile)
	if err != nil {
		return nil
	}
	wanted := map[string]bool{
		fmt.Sprintf("gpu%d/gi%d/access", minor, s.gi):            true,
		fmt.Sprintf("gpu%d/gi%d/ci%d/access", minor, s.gi, s.ci): true,
	}
	var files []string
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		if name, number, found := strings.Cut(lines.Text(), " "); found && wanted[name] {
			files = append(files, "/dev/nvidia-caps/nvidia-cap"+strings.TrimSpace(number))
		}
	}
	return files
}
