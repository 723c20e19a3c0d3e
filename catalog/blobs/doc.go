// Package blobs owns the bytes of models: files by their SHA-256, each once whatever number of models has it, in parts while
// they come and whole afterwards. Model folders hold links to them. It knows nothing of where they come from.
package blobs
