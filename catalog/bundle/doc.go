// Package bundle owns models in one file for boxes without a network: an OCI layout in a tar, written and checked as a stream.
package bundle
