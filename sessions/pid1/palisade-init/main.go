// Command palisade-init is the first process of a session's container.
package main

import (
	"os"

	"github.com/palisade-run/palisade/sessions/pid1"
)

func main() { os.Exit(pid1.Run()) }
