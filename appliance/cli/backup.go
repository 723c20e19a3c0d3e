package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) backupCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use: "backup", Aliases: []string{"backups"}, Short: "The appliance in one sealed file, and an appliance of such a file",
		Long: "A backup holds what an appliance is: its rows (services, users, tokens, usage, the record of changes), its secrets and\n" +
			"keys, its settings, and with --folders and --models what is in folders and the files of models. It is made while the\n" +
			"appliance works, and sealed: who has the key, or knows the passphrase, can open it, and nobody else.",
	})
	cmd.AddCommand(a.backupKey(), a.backupCreate(), a.backupList(), a.backupVerify(), a.backupFetch(), a.backupRestore(), a.backupRemove())
	return cmd
}

func (a *app) backupNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Backups(ctx)
	return namesOf(items, err, func(b api.Backup) string { return b.Name })
}

func (a *app) backupKey() *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Make a key that opens backups; needs no daemon", Args: words("", 0, 0),
		Long: "Make a key: a secret part, which opens backups and is to be kept away from the box, and a public part, to which backups\n" +
			"are sealed. Nothing of it is kept. Keys that age-keygen makes are as good.",
		Example: "  palisade backup key > backup.key && grep public backup.key",
		RunE: func(*cobra.Command, []string) error {
			secret, public, err := backup.NewKey()
			if err != nil {
				return err
			}
			shown := map[string]string{"public": public, "secret": secret}
			return a.show(result{json: shown, quiet: []string{secret}, text: func() error {
				fmt.Fprintf(a.out, "# public key: %s\n%s\n", public, secret)
				a.notef("Keep this away from the box: without it no backup can be opened. In the settings:\n  backup:\n    recipients: [%s]", public)
				return nil
			}})
		},
	}
}

// sealWords are the flags that say who is to open a backup.
type sealWords struct {
	recipients []string
	file       string
	ask        bool
}

func (w *sealWords) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&w.recipients, "recipient", nil, "public key (age1...) that it is sealed to, in the place of those in the settings; may be given several times")
	cmd.Flags().StringVar(&w.file, "passphrase-file", "", "file with a passphrase that opens it, in the place of keys; - is standard input (PALISADE_BACKUP_PASSPHRASE)")
	cmd.Flags().BoolVar(&w.ask, "passphrase", false, "ask for a passphrase that opens it, in the place of keys")
}

// passphrase is the one that was given, by a file or in the environment; "": none was.
func (a *app) passphrase(file string) (string, error) {
	switch file {
	case "":
		return a.env("PALISADE_BACKUP_PASSPHRASE"), nil
	case "-":
		return onlyLine(a.Stdin)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", &usageError{message: err.Error()}
	}
	defer f.Close()
	return onlyLine(f)
}

func onlyLine(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, 4<<10))
	if err != nil {
		return "", fmt.Errorf("reading the passphrase: %w", err)
	}
	line := strings.TrimRight(string(text), "\r\n")
	if line == "" {
		return "", &usageError{message: "there is no passphrase in it"}
	}
	return line, nil
}

func (a *app) backupCreate() *cobra.Command {
	var req api.BackupCreate
	var seal sealWords
	var to string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a backup while the appliance works", Args: words("", 0, 0),
		Long: "Make a backup of this moment, in the appliance's directory of backups, or with --to in a file of this box. Nobody waits\n" +
			"for it. It is sealed to the keys in the settings, or as is said here. Ctrl-C cancels it, and so does palisade backup rm.",
		Example: "  palisade backup create\n  palisade backup create --to /mnt/safe/box.backup --folders\n  palisade backup create --to - --recipient age1... | ssh safe 'cat > box.backup'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "-" && isTerminal(a.Stdout) {
				return &usageError{message: "a backup does not go to a terminal", hint: "palisade backup create --to FILE"}
			}
			if err := canBeFile(cmp.Or(to, "-")); err != nil {
				return err
			}
			req.Recipients = seal.recipients
			var err error
			if req.Passphrase, err = a.passphrase(seal.file); err != nil {
				return err
			}
			if seal.ask {
				if req.Passphrase, err = a.newPassphrase(cmd.Context()); err != nil {
					return err
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if to == "" {
				return a.backupOnBox(cmd.Context(), c, req)
			}
			return a.backupHere(cmd.Context(), c, req, to)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "file of this box that it is written to; - is standard output (default: the appliance keeps it)")
	f.BoolVar(&req.Folders, "folders", false, "with what is in folders")
	f.BoolVar(&req.Models, "models", false, "with installed models, so that their services answer at once after a restore; without it their files are fetched again")
	seal.flags(cmd)
	return cmd
}

func (a *app) newPassphrase(ctx context.Context) (string, error) {
	first, err := a.readPassword(ctx, "passphrase: ")
	if err != nil {
		return "", err
	}
	again, err := a.readPassword(ctx, "once more: ")
	if err == nil && first != again {
		err = &usageError{message: "these are two passphrases"}
	}
	return first, err
}

// backupEvery lies between two looks at a backup that is being made.
const backupEvery = 200 * time.Millisecond

// backupOnBox has the appliance make one and keep it.
func (a *app) backupOnBox(ctx context.Context, c *api.Client, req api.BackupCreate) error {
	b, err := c.CreateBackup(ctx, req)
	if err != nil {
		return err
	}
	meter := a.newMeter()
	defer meter.clear()
	for b.State == api.BackupRunning {
		meter.set(b.Phase, b.Done, b.Total)
		select {
		case <-ctx.Done():
			meter.clear()
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := c.RemoveBackup(ending, b.Name); err != nil {
				return errors.Join(context.Cause(ctx), err)
			}
			return context.Cause(ctx)
		case <-time.After(backupEvery):
		}
		next, err := c.Backup(ctx, b.Name)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			b = next
		}
	}
	meter.clear()
	if b.State != api.BackupDone {
		return &hinted{err: fmt.Errorf("no backup was made: %s", b.Error), hint: "the appliance's log says more"}
	}
	return a.show(result{json: b, quiet: []string{b.Name}, text: func() error {
		_, err := fmt.Fprintf(a.out, "%s  %s\n", b.Name, bytesize.Format(b.Bytes))
		return err
	}})
}

// backupHere writes one to a file that is there as a whole or not at all.
func (a *app) backupHere(ctx context.Context, c *api.Client, req api.BackupCreate, to string) error {
	meter := a.newMeter()
	defer meter.clear()
	waits := a.nowAndThen(func() { meter.show.status(a.now(), "waiting for the first of it") })
	from, err := c.StreamBackup(ctx, req) // it may be refused: until then nothing is written
	waits()
	if err != nil {
		return err
	}
	defer from.Close()
	if to == "-" {
		_, err := io.Copy(a.out, from)
		return brokenOff(err)
	}
	h, n, err := keepStream(ctx, from, to, func(done int64) { meter.set("writing "+to, done, 0) })
	meter.clear()
	if err != nil {
		return err
	}
	return a.show(result{json: h, quiet: []string{to}, text: func() error {
		_, err := fmt.Fprintf(a.out, "%s  %s\n", to, bytesize.Format(n))
		return err
	}})
}

func brokenOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, backup.ErrBroken) || errors.Is(err, backup.ErrNotBackup) {
		return &hinted{err: fmt.Errorf("the appliance broke off: %w", err), hint: "its log says why"}
	}
	return err
}

func keepStream(ctx context.Context, from io.Reader, to string, tell func(done int64)) (h backup.Head, n int64, err error) {
	err = wholeFile(to, 0o600, func(f *os.File) (err error) {
		n, err = io.Copy(f, io.TeeReader(from, &told{tell: tell}))
		if err == nil {
			h, err = backup.CheckSum(ctx, f, n, nil)
		}
		if err == nil {
			err = f.Sync()
		}
		return brokenOff(err)
	})
	if err != nil {
		return h, n, err
	}
	dir, err := os.Open(filepath.Dir(to)) // its name is on the disk too, before anybody is told
	if err != nil {
		return h, n, err
	}
	return h, n, errors.Join(dir.Sync(), dir.Close())
}

// told counts what goes by.
type told struct {
	tell func(int64)
	n    int64
}

func (t *told) Write(p []byte) (int, error) {
	t.n += int64(len(p))
	t.tell(t.n)
	return len(p), nil
}

func (a *app) backupList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the backups that the appliance keeps, the newest first", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := c.Backups(cmd.Context())
			if err != nil {
				return err
			}
			if len(items) == 0 && a.output != "json" {
				a.notef("no backups are kept: palisade backup create makes one")
				return nil
			}
			t := newTable("NAME", "MADE", "SIZE", "STATE", "WITH", "SEALED", "VERSION", "BOX")
			r := result{json: notNull(items), table: t}
			for _, b := range items {
				state := b.State
				switch {
				case b.State == api.BackupRunning && b.Total > 0:
					state += fmt.Sprintf(" %d%%", min(99, b.Done*100/b.Total))
				case b.Error != "":
					state += ": " + b.Error
				}
				made := "-"
				if !b.MadeAt.IsZero() {
					made = a.ago(b.MadeAt)
				}
				t.add(orDash(b.Name), made, bytesize.Format(b.Bytes), state, orDash(with(b)), orDash(b.Sealed), orDash(b.Version), orDash(b.Box))
				r.quiet = append(r.quiet, b.Name)
			}
			return a.show(r)
		},
	}
}

func with(b api.Backup) string {
	var all []string
	if b.Folders {
		all = append(all, "folders")
	}
	if b.Models {
		all = append(all, "models")
	}
	return strings.Join(all, ", ")
}

func (a *app) backupFetch() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "fetch NAME", Short: "Bring a backup that the appliance keeps to this box", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.backupNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			to = cmp.Or(to, args[0])
			if err := canBeFile(to); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			from, total, err := c.FetchBackup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			meter := a.newMeter()
			defer meter.clear()
			if to == "-" {
				_, err := io.Copy(a.out, from)
				return brokenOff(err)
			}
			h, n, err := keepStream(cmd.Context(), from, to, func(done int64) { meter.set("writing "+to, done, total) })
			meter.clear()
			if err != nil {
				return err
			}
			return a.show(result{json: h, quiet: []string{to}, text: func() error {
				_, err := fmt.Fprintf(a.out, "%s  %s\n", to, bytesize.Format(n))
				return err
			}})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "file that it is written to (default NAME); - is standard output")
	return cmd
}

func (a *app) backupRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Remove backups; one that is being made is cancelled", Args: words("NAME", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.backupNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.RemoveBackup(cmd.Context(), name) })
		},
	}
}
