// Command palisade is the appliance and its command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cli"
	"github.com/palisade-run/palisade/appliance/daemon"
	"github.com/palisade-run/palisade/sessions/process"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(process.SuperviseMain(os.Args[2:])) // before anything else: it holds one session, and nothing more
	}
	// The first signal ends what runs, in order; the second ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	executable, err := os.Executable()
	if err != nil {
		executable = os.Args[0]
	}
	p := cli.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Version: version(), Executable: executable, Command: command(executable),
		Serve: func(ctx context.Context, o cli.ServeOptions) error { return daemon.Serve(ctx, daemon.Options(o)) },
		MoveDatabase: func(ctx context.Context, o cli.DatabaseMove) (api.DatabaseMoved, error) {
			return daemon.MoveDatabase(ctx, daemon.DatabaseMove(o))
		},
		RestoreBackup: func(ctx context.Context, o cli.BackupRestore) (api.BackupRestored, error) {
			return daemon.RestoreBackup(ctx, daemon.BackupRestore(o))
		},
		VerifyBackup:   daemon.VerifyBackup,
		DatabaseStatus: daemon.DatabaseStatus,
	}
	os.Exit(p.Run(ctx))
}
