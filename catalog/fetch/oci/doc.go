// Package oci reads models that lie in container registries: ModelPack and ModelKit artifacts, what oras pushed, and the
// ones of docker and ollama. All that it hands out is named by its digest. It knows nothing of container images, which are
// the runtime's to pull, nor of where log-ins are kept.
package oci
