package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// BackupRestore is what a restore is asked for.
type BackupRestore struct {
	Config   config.Config // of the appliance that comes out of it: where its data and its rows go
	Archive  string        // the backup's file
	Keys     backup.Keys
	Replace  bool // what is in the data directory is put aside
	Log      *slog.Logger
	Progress func(phase string, done, total int64) // in bytes of the file; may be nil
}

// keyWords are the flags with what opens a backup.
type keyWords struct{ key, file string }

func (w *keyWords) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.key, "key", "", "file with the secret key that opens it")
	cmd.Flags().StringVar(&w.file, "passphrase-file", "", "file with the passphrase that opens it; - is standard input (PALISADE_BACKUP_PASSPHRASE)")
}

// openKeys are what was given to open a backup; nil where nothing was. A person is asked for a passphrase where it needs one.
func (a *app) openKeys(ctx context.Context, w keyWords, archive string) (*backup.Keys, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	h, err := backup.ReadHead(f)
	_ = f.Close() // it was only read
	if err != nil {
		return nil, fmt.Errorf("%s: %w", archive, err)
	}
	var keys backup.Keys
	if w.key != "" {
		text, err := os.ReadFile(w.key)
		if err != nil {
			return nil, &usageError{message: err.Error()}
		}
		keys.Secret = string(text)
	}
	if keys.Passphrase, err = a.passphrase(w.file); err != nil {
		return nil, err
	}
	if h.Sealed == backup.SealedByPassphrase && keys.Passphrase == "" && isTerminal(a.Stdin) {
		if keys.Passphrase, err = a.readPassword(ctx, "passphrase of "+archive+": "); err != nil {
			return nil, err
		}
	}
	if keys == (backup.Keys{}) {
		return nil, nil //nolint:nilnil // nothing was given
	}
	return &keys, nil
}

func (a *app) backupVerify() *cobra.Command {
	var w keyWords
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Compare every byte of a backup with its checksum, and with its key all that is in it", Args: words("FILE", 1, 1),
		Long: "Read a backup to its end. Without a key its checksum tells that not a byte of it was lost or altered on the way; with it\n" +
			"all rows and files are read and compared with the manifest: that is what a restore does first. A file of this box needs\n" +
			"no daemon; the name of one that the appliance keeps is compared there. The exit code is 1 where something is wrong.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) && w == (keyWords{}) {
				return a.verifyKept(cmd.Context(), args[0])
			}
			keys, err := a.openKeys(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			meter := a.newMeter()
			defer meter.clear()
			v, err := a.VerifyBackup(cmd.Context(), args[0], keys, func(done, total int64) { meter.set("verifying "+args[0], done, total) })
			meter.clear()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.show(result{json: v, quiet: []string{args[0]}, text: func() error { a.verified(v); return nil }})
		},
	}
	w.flags(cmd)
	return cmd
}

// verifyKept has the appliance compare one that it keeps.
func (a *app) verifyKept(ctx context.Context, name string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	b, err := c.VerifyBackup(ctx, name)
	if err != nil {
		return err
	}
	v := api.BackupVerified{Backup: b}
	return a.show(result{json: v, quiet: []string{name}, text: func() error { a.verified(v); return nil }})
}

func (a *app) verified(v api.BackupVerified) {
	b := v.Backup
	a.fields([][2]string{
		{"Backup", b.Name}, {"Of", b.MadeAt.Local().Format(time.RFC3339)}, {"Made by", fmt.Sprintf("palisade %s on %s", b.Version, orDash(b.Box))},
		{"Schema", fmt.Sprintf("%d, from %s", b.Schema, b.Database)}, {"With", with(b)}, {"Sealed by", b.Sealed}, {"Size", bytesize.Format(b.Bytes)},
	}...)
	if !v.Opened {
		fmt.Fprintln(a.out, "\nThe checksum is right. What is in it was not looked at: give --key FILE or a passphrase.")
		return
	}
	fmt.Fprintf(a.out, "\nThe checksum is right, and all is there: %d rows of %d tables, %s.\n", v.Rows, v.Tables, plural(int(v.Files), "file"))
	a.notWhole(v.Torn, v.Left, v.LeftOut)
	a.toFetch(v.Models)
}

func (a *app) notWhole(torn, left []string, leftOut int64) {
	if len(torn) > 0 {
		fmt.Fprintf(a.out, "Changed while they were read, and perhaps neither old nor new: %s\n", strings.Join(torn, ", "))
	}
	if leftOut == 0 {
		return
	}
	fmt.Fprintf(a.out, "Not in it, as they could not be read: %s\n", plural(int(leftOut), "file"))
	for _, name := range left {
		fmt.Fprintf(a.out, "  %s\n", name)
	}
}

func (a *app) toFetch(models []api.BackupModel) {
	if len(models) == 0 {
		return
	}
	fmt.Fprintln(a.out, "The files of these models are not in it, and are to be fetched again:")
	t := newTable("MODEL", "PROJECT", "SIZE", "FROM")
	for _, m := range models {
		t.add(m.Name, m.Project, bytesize.Format(m.Bytes), orDash(m.From))
	}
	t.write(a.out)
}

func (a *app) backupRestore() *cobra.Command {
	var w keyWords
	var file, database string
	var replace bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make an appliance of a backup, in an empty data directory; the daemon is stopped for it", Args: words("FILE", 1, 1),
		Long: "Make an appliance of a backup, as it was at its moment. The whole file is read and compared first: one that was cut off,\n" +
			"or altered, changes nothing. The data directory is empty, or --replace puts aside what the backup replaces; rows go to a\n" +
			"SQLite file in it, or to the empty PostgreSQL database that is named in the settings or with --database, wherever they\n" +
			"were from. A backup of an older palisade is brought up to date by the next start; one of a newer palisade is refused.",
		Example: "  systemctl stop palisade\n  palisade backup restore box.backup --key backup.key\n  systemctl start palisade",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.databaseSettings(file, database)
			if err != nil {
				return err
			}
			keys, err := a.openKeys(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			if keys == nil {
				keys = &backup.Keys{}
			}
			meter := a.newMeter()
			defer meter.clear()
			done, err := a.RestoreBackup(cmd.Context(), BackupRestore{
				Config: cfg, Archive: args[0], Keys: *keys, Replace: replace, Log: a.logger(config.Log{Level: slog.LevelWarn, Format: cfg.Log.Format}),
				Progress: func(phase string, done, total int64) { meter.set(phase+" "+args[0], done, total) },
			})
			meter.clear()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.show(result{json: done, quiet: []string{done.Data}, text: func() error { a.restored(done); return nil }})
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "settings file of the appliance that comes out of it")
	f.StringVar(&database, "database", "", "where its rows go, in the place of what the settings say: sqlite:FILE or postgres://...")
	f.BoolVar(&replace, "replace", false, "put aside what is in the data directory and in the backup too")
	w.flags(cmd)
	return cmd
}

func (a *app) restored(r api.BackupRestored) {
	fmt.Fprintf(a.out, "%s is as it was on %s (palisade %s): %d rows, %s.\n", r.Data, r.MadeAt.Local().Format(time.RFC1123), r.Version, r.Rows, plural(int(r.Files), "file"))
	fmt.Fprintf(a.out, "Its rows are in %s.\n", r.Database)
	if r.Aside != "" {
		fmt.Fprintf(a.out, "What was there before: %s\n", r.Aside)
	}
	if r.Settings != "" {
		fmt.Fprintf(a.out, "The settings that it had: %s\n", r.Settings)
	}
	a.notWhole(r.Torn, r.Left, r.LeftOut)
	a.toFetch(r.Models)
	fmt.Fprintln(a.out, "  next: start the appliance; palisade doctor, palisade audit verify")
}
