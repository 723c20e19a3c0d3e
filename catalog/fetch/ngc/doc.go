// Package ngc fetches models of NVIDIA NGC, with an API key.
package ngc
