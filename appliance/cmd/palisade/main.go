// Command palisade is the appliance and its command line in one.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/palisade-run/palisade/appliance/cli"
	"github.com/palisade-run/palisade/appliance/daemon"
	"github.com/palisade-run/palisade/sessions/process"
)

// version is set when the program is linked.
var version string

func main() {
	// First of all: a session's supervisor must not carry more than it needs.
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(process.SuperviseMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Version: daemon.BuildVersion(version), Executable: "/proc/self/exe",
		Serve: func(ctx context.Context, o cli.ServeOptions) error { return daemon.Serve(ctx, daemon.Options(o)) },
	}.Run(ctx)
	stop()
	os.Exit(code)
}
