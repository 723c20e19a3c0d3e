// Package cli owns the words that a person types: commands, flags, tables, hints and exit codes. It speaks
// to the appliance through its API alone and knows nothing of how an appliance works; the daemon that
// `serve` runs is handed in.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// Exit codes of the program.
const (
	exitOK     = 0
	exitFailed = 1 // it was understood, and it did not work
	exitUsage  = 2 // it was not understood
)

// Program is one run of the command line. Everything it touches is in here.
type Program struct {
	Args           []string // without the program's own name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	LookupEnv      func(name string) (string, bool)
	Version        api.Version // of this binary
	Executable     string      // this program's file
	Command        []string    // how it was started: the path where a later version of it will be, then Args

	// Serve runs the daemon until ctx ends.
	Serve func(ctx context.Context, o ServeOptions) error
	// MoveDatabase moves the rows of an appliance that does not run to another database.
	MoveDatabase func(ctx context.Context, o DatabaseMove) (api.DatabaseMoved, error)
	// RestoreBackup makes an appliance of a backup, VerifyBackup reads one. Neither needs a daemon.
	RestoreBackup func(ctx context.Context, o BackupRestore) (api.BackupRestored, error)
	VerifyBackup  func(ctx context.Context, name string, keys *backup.Keys, progress func(done, total int64)) (api.BackupVerified, error)
	// DatabaseStatus looks at the database that an appliance with these settings uses, whether it runs or not.
	DatabaseStatus func(ctx context.Context, c config.Config) (api.DatabaseStatus, error)
}

// Run runs the command that Args ask for and returns the program's exit code.
func (p Program) Run(ctx context.Context) int {
	out := &sink{w: p.Stdout}
	a := &app{Program: p, out: out, now: time.Now, ended: func() error { return context.Cause(ctx) }}
	root := a.rootCommand()
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(out)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("writing the output: %w", out.err)
	}
	return a.report(err)
}

// interrupted says that a person, or a service manager, ended the program.
type interrupted struct{ err error }

func (e *interrupted) Error() string { return "interrupted" }

// Hint is what goes on without the program, where a command has said so.
func (e *interrupted) Hint() string {
	if h, ok := errors.AsType[hinter](e.err); ok {
		return h.Hint()
	}
	return ""
}

// app is what the commands of one run share.
type app struct {
	Program
	out *sink
	now func() time.Time
	// ended is why the program has to end before its command has: a signal; nil while it need not.
	ended func() error

	data, host, project, output string // flags of every command
	quiet                       bool
}

// sink remembers that a write failed: a result that did not reach a full disk must not look like a success.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "palisade",
		Short: "Turn this box into a model-serving appliance",
		Long: "Palisade serves models from model folders behind one guarded endpoint.\n" +
			"`palisade serve` is the appliance; every other command speaks to one that runs.",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkGlobals(cmd) },
		Version:           a.Version.Version,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.data, "data", "", "data directory of the appliance (PALISADE_DATA; default "+orDash(a.defaultData())+")")
	f.StringVar(&a.host, "host", "", "appliance to speak to: unix:///PATH, http://HOST:PORT or https://HOST:PORT (PALISADE_HOST)")
	f.StringVar(&a.project, "project", "", "project (PALISADE_PROJECT)")
	f.StringVarP(&a.output, "output", "o", "table", "how results are printed: table, wide or json")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print the one value only")
	_ = root.RegisterFlagCompletionFunc("output", fixedWords(outputs()...))
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate(versionLine(a.Version) + "\n")
	root.AddCommand(
		a.verifyCommand(),
		a.serveCommand(), a.serviceCommand(), a.folderCommand(), a.sessionCommand(), a.psCommand(), a.appCommand(), a.batchCommand(), a.pipelineCommand(), a.installCommand(), a.modelCommand(), a.catalogCommand(),
		a.calibrateCommand(), a.chatCommand(), a.compareCommand(),
		a.imageCommand(), a.registryCommand(), a.bundleCommand(), a.secretCommand(), a.auditCommand(), a.deviceCommand(), a.queueCommand(), a.usageCommand(), a.topCommand(), a.autoscaleCommand(),
		a.runtimesCommand(), a.doctorCommand(), a.waitCommand(), a.supportCommand(), a.databaseCommand(), a.backupCommand(), a.restartCommand(), a.clusterCommand(), a.joinCommand(), a.userCommand(), a.whoamiCommand(), a.projectCommand(), a.keyCommand(), a.sshKeyCommand(), a.sshCommand(), a.sshConfigCommand(), a.versionCommand(), a.completionCommand(),
	)
	asGroup(root)
	root.SetHelpCommand(&cobra.Command{Use: "help [COMMAND]", Short: "Help about a command", RunE: func(_ *cobra.Command, args []string) error {
		target, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			return unknownCommand(root, strings.Join(args, " "))
		}
		return target.Help()
	}})
	return root
}

// outputs are the forms that a result may have; wide is table with more columns where there are more.
func outputs() []string { return []string{"table", "wide", "json"} }

// fileHint is for who means by -o the file that a command writes.
func fileHint(cmd *cobra.Command) string {
	if cmd.Flags().Lookup("to") != nil {
		return "the file that it writes: --to FILE"
	}
	return "to have it in a file: " + cmd.CommandPath() + " ... > FILE"
}

func (a *app) checkGlobals(cmd *cobra.Command) error {
	if !slices.Contains(outputs(), a.output) {
		return &usageError{
			message: fmt.Sprintf("--output %s: must be table, wide or json", a.output),
			hint:    cmp.Or(didYouMean(a.output, outputs()), fileHint(cmd)),
		}
	}
	if a.project == "" {
		a.project = a.env("PALISADE_PROJECT")
	}
	return nil
}

// env returns a variable of the environment, "" where it is not set.
func (a *app) env(name string) string {
	v, _ := a.LookupEnv(name)
	return v
}

// notef tells the person something that is no result.
func (a *app) notef(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.Stderr, safe(fmt.Sprintf(format, args...)))
	}
}

// asGroup makes a command that only has subcommands show its help, and name the nearest one where a word
// is none of them.
func asGroup(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, word string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			known = append(known, c.Name())
			known = append(known, c.Aliases...)
		}
	}
	hint := cmp.Or(otherWord(cmd, word), didYouMean(word, known), "see: "+cmd.CommandPath()+" --help")
	return &usageError{message: fmt.Sprintf("unknown command %q for %q", word, cmd.CommandPath()), hint: hint}
}

// report prints err and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errQuietFailure) {
		return exitFailed
	}
	if end, ok := errors.AsType[*commandEnd](err); ok {
		if !end.silent() {
			fmt.Fprintf(a.Stderr, "palisade: %s\n", safe(withoutSentence(end.Error())))
		}
		return end.code()
	}
	if why := a.ended(); why != nil && (errors.Is(err, why) || errors.Is(err, context.Canceled)) {
		err = &interrupted{err}
	}
	message, hint, code := err.Error(), a.hintFor(err), exitFailed
	if usage, ok := errors.AsType[*usageError](err); ok {
		code = exitUsage
		if usage.line != "" {
			message += "\n  usage: " + usage.line
		}
	}
	if batch, ok := errors.AsType[*batchEnded](err); ok {
		code = batch.code()
	}
	fmt.Fprintf(a.Stderr, "palisade: %s\n", safe(message))
	if hint != "" {
		fmt.Fprintf(a.Stderr, "  hint: %s\n", strings.ReplaceAll(safe(hint), "\n", "\n        "))
	}
	return code
}

// errQuietFailure ends the program with exitFailed; all there is to say has been said.
var errQuietFailure = errors.New("failed")

// usageError says that the words were not understood.
type usageError struct {
	message string
	hint    string
	line    string // the right way to write it
}

func (e *usageError) Error() string { return e.message }
func (e *usageError) Hint() string  { return e.hint }

func didYouMean(word string, known []string) string {
	if near := spelling.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
