// Package bundle owns a model in one file, for boxes without a network: how it is written, signed, verified to the last byte,
// and taken in. The file is a tar that holds an OCI layout. It knows nothing of installs, of engines, or of where models
// came from.
package bundle
