// Command palisade-supervise holds one session of the process runtime. It is the supervisor without the rest of
// palisade: every session pays for what its supervisor links.
package main

import (
	"fmt"
	"os"

	"github.com/palisade-run/palisade/sessions/process"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "supervise" {
		fmt.Fprintln(os.Stderr, "palisade-supervise holds a session; palisade serve starts it, people do not")
		os.Exit(2)
	}
	os.Exit(process.SuperviseMain(os.Args[2:]))
}
