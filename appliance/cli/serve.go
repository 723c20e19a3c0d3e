package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog"
)

// ServeOptions are what the daemon is started with.
type ServeOptions struct {
	Config     config.Config
	File       string // the settings' file; "": there is none
	Version    api.Version
	Executable string           // this program's file
	Command    []string         // how this program was started: its path, then its words
	Check      bool             // look at the settings and return
	Flags      config.Overrides // what of Config the command line said
	Log        *slog.Logger
	Ready      func(gateway string) // to be called once the appliance answers
	// First is to be called of the administrator whom the first start has made.
	First func(name, password, console string)
}

func (a *app) serveCommand() *cobra.Command {
	var o config.Overrides
	var file string
	var check bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the appliance", Args: words("", 0, 0),
		Long: "Run the appliance until Ctrl-C or SIGTERM. Sessions go on then, and are taken over at the next start.\n" +
			"`palisade restart` replaces it by a new one without a failed request (docs/restart.md).\n" +
			"Flags win over the settings file (docs/configuration.md).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.host != "" {
				return &usageError{message: "--host is the appliance that other commands speak to", hint: "the address to serve on: palisade serve --listen " + a.host + ":8080"}
			}
			o.Data = a.dataDir()
			cfg, warnings, err := config.Load(file, o)
			for _, w := range warnings {
				a.notef("palisade: %s", w)
			}
			if err != nil {
				if _, ok := errors.AsType[catalog.Problems](err); ok {
					return &usageError{message: "the settings are wrong:\n" + err.Error()}
				}
				return err
			}
			err = a.Serve(cmd.Context(), ServeOptions{
				Config: cfg, File: file, Version: a.Version, Executable: a.Executable, Command: a.Command, Check: check, Flags: o,
				Log: a.logger(cfg.Log), Ready: a.ready, First: a.first,
			})
			if err == nil && check {
				a.notef("the settings are good")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "settings file")
	f.BoolVar(&check, "check", false, "look at the settings, say what is wrong with them, and start nothing")
	f.StringVar(&o.Listen, "listen", "", "address to serve on (default 127.0.0.1:8080)")
	f.StringVar(&o.SSHListen, "ssh-listen", "", "address at which sessions are reached by SSH, or off (default port 2222 of the same host)")
	f.StringVar(&o.Advertise, "advertise", "", "URL at which clients reach this appliance, where it is not that of --listen")
	f.StringVar(&o.Runtime, "runtime", "", "what runs sessions: auto, containerd or process (default auto: processes, and images where containerd answers)")
	f.StringVar(&o.Containerd, "containerd", "", "its socket, or private for one that the appliance starts itself (default /run/containerd/containerd.sock)")
	f.StringVar(&o.Simulate, "simulate", "", "make up the accelerators of a machine, to try and to rehearse: dgxa100, dgxh100, dgxh200, dgxb200, a30x4, a100x2 or h100x1, or one of them with -mig")
	f.StringVar(&o.Database, "database", "", "sqlite:FILE or postgres://... (default: a file in the data directory)")
	f.StringVar(&o.Variants, "variants", "", "file with runtime variants of your own")
	f.StringVar(&o.Domain, "domain", "", "services answer at NAME.DOMAIN too")
	f.StringVar(&o.TLSMode, "tls", "", "auto, off or files (default auto: plain on loopback, else a certificate of its own)")
	f.StringVar(&o.TLSCert, "tls-cert", "", "certificate, PEM")
	f.StringVar(&o.TLSKey, "tls-key", "", "its key, PEM")
	f.StringVar(&o.LogLevel, "log-level", "", "debug, info, warn or error (default info)")
	f.StringVar(&o.LogFormat, "log-format", "", "text or json (default text)")
	for name, known := range map[string][]string{
		"runtime": {"auto", "containerd", "process"}, "containerd": {"private"}, "simulate": {"dgxa100", "dgxh100", "dgxh200", "dgxb200", "a30x4", "a100x2", "h100x1"}, "tls": {"auto", "off", "files"},
		"log-level": {"debug", "info", "warn", "error"}, "log-format": {"text", "json"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, fixedWords(known...))
	}
	return cmd
}

func (a *app) logger(l config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: l.Level}
	if l.Format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(a.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.Stderr, o))
}

// first tells who reads standard output how to log in the first time, and nobody else: it is no line of the log, and where
// standard output is the journal, which many may read and which is kept, it does not say the password.
func (a *app) first(name, password, console string) {
	if a.env("JOURNAL_STREAM") != "" && !isTerminal(a.Stdout) {
		fmt.Fprintf(a.Stdout, "A user %s was made for the console at %s. Its password: palisade user reset %s\n", name, console, name)
		return
	}
	fmt.Fprintf(a.Stdout, "\n"+
		"  Log in to the console: %s\n"+
		"    name      %s\n"+
		"    password  %s\n"+
		"  It is shown this once. If it is lost: palisade user reset %s\n\n", console, name, password, name)
}

// ready tells a person who sits there what to do next; a log has its own line.
func (a *app) ready(gateway string) {
	if isTerminal(a.Stderr) && !a.quiet {
		fmt.Fprintf(a.Stderr, "\nPalisade answers at %s/v1\n  next: palisade service create IMAGE MODEL_FOLDER --wait\n\n", gateway)
	}
}
