// Package fit owns how much memory a model needs and where it fits. It reads what a model's own files say of
// it (headers and metadata, never weights), works out by arithmetic what an engine makes of it, and holds that
// against the memory that there is. Files may be hostile: every read is bounded. It knows nothing of devices'
// drivers, of engines' command lines or of services; callers hand in plain numbers.
package fit
