// Package firmwareimages owns what images of the appliance and of its sessions are built from, engines
// included. It is data: build scripts that the binary carries, so that a box can build what it lacks.
package firmwareimages

import "embed"

// Files holds engines/NAME/build.sh of every engine.
//
//go:embed engines/*/build.sh
var Files embed.FS
