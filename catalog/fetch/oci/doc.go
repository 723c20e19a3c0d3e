// Package oci fetches model artifacts from OCI registries: ModelPack, ModelKit, and plain ones.
package oci
