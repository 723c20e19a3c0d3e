// Package nvml turns NVIDIA's management library into accel's words. It is the only cgo of the
// project, with a stub beside it for builds without cgo.
package nvml
