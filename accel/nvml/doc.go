// Package nvml turns NVIDIA's management library into accel's words: what GPUs and MIG slices are there,
// how they are, and what a session is given to see some of them. It is the only cgo of the project, with a
// stub beside it for builds without cgo. Boxes that are not there are simulated by the library's own mocks.
//
// What it decides (which fault fences a device, what joins two of them, what a grant holds) is plain Go over
// plain values, in both builds; only the seam to the library is cgo. It knows neither claims nor sessions,
// and how fractions are enforced is told to it (Sharing).
package nvml
