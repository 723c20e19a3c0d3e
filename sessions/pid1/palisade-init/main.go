// Command palisade-init is the first process of a session's container, and what Palisade brings into it beside that.
package main

import (
	"os"

	"github.com/palisade-run/palisade/sessions/inside"
	"github.com/palisade-run/palisade/sessions/pid1"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	for _, main := range []func([]string) (int, bool){inside.Main, holder.Main} {
		if code, known := main(args); known {
			return code
		}
	}
	return pid1.Run()
}
