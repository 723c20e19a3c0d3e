// Package sessionimages owns the definitions of the images that people's sessions start from: those that `make images`
// builds from Debian's packages, and what is known of well-known images of others, by their names. It is data and its
// reading; it builds nothing, and knows nothing of runtimes or sessions.
package sessionimages

import "embed"

// files holds NAME/image.yaml, with what lies beside it, of every image, and references.yaml.
//
//go:embed references.yaml base pytorch-cpu code
var files embed.FS
