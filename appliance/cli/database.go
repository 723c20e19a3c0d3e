package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// DatabaseMove is what a move of the database is asked for.
type DatabaseMove struct {
	Config   config.Config // of the appliance whose rows are moved
	File     string        // its settings file, "" for none: changed where it names the database
	To       string        // as config.Config.Database; "sqlite": the file in the data directory
	Keep     bool          // only copy: what the appliance uses stays
	Log      *slog.Logger
	Progress func(phase, table string, done, total int64) // in rows; may be nil
}

func (a *app) databaseCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "database", Short: "Where the appliance keeps its rows, and how they come to another place"})
	cmd.AddCommand(a.databaseStatus(), a.databaseMove())
	return cmd
}

// databaseSettings are the settings of the appliance whose database is meant.
func (a *app) databaseSettings(file, from string) (config.Config, error) {
	cfg, _, err := config.Load(file, config.Overrides{Data: a.dataDir(), Database: from})
	if _, ok := errors.AsType[catalog.Problems](err); ok {
		return cfg, &usageError{message: "the settings are wrong:\n" + err.Error()}
	}
	return cfg, err
}

func (a *app) databaseStatus() *cobra.Command {
	var file, from string
	cmd := &cobra.Command{
		Use: "status", Short: "Which database it is, its version, its size and what is in it", Args: words("", 0, 0),
		Example: "  palisade database status\n  palisade database status --database postgres://palisade@db/palisade",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.databaseSettings(file, from)
			if err != nil {
				return err
			}
			s, err := a.DatabaseStatus(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.show(result{json: s, quiet: []string{s.Database}, text: func() error { a.databaseSeen(s); return nil }})
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "settings file of the appliance")
	cmd.Flags().StringVar(&from, "database", "", "another database than the one that it uses")
	return cmd
}

func (a *app) databaseSeen(s api.DatabaseStatus) {
	schema := strconv.FormatInt(s.Version, 10)
	switch {
	case s.Version == 0:
		schema = "none yet"
	case s.Version < s.Known:
		schema += fmt.Sprintf(", which the next start brings to %d", s.Known)
	case s.Version > s.Known:
		schema += fmt.Sprintf(", of a newer palisade: this one knows up to %d", s.Known)
	}
	rows := int64(0)
	for _, t := range s.Tables {
		rows += t.Rows
	}
	fields := [][2]string{{"Database", s.Database}, {"Schema", schema}, {"Size", bytesize.Format(s.Bytes)}, {"Rows", strconv.FormatInt(rows, 10)}}
	if s.Kind == "postgres" {
		fields = append(fields, [2]string{"Used by", orDash(s.Holder)})
	}
	if s.Half {
		fields = append(fields, [2]string{"Warning", "a move to it was broken off: what it was moved from is the one that counts"})
	}
	a.fields(fields...)
	if len(s.Tables) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	t := newTable("TABLE", "ROWS")
	for _, one := range s.Tables {
		t.add(one.Name, strconv.FormatInt(one.Rows, 10))
	}
	t.write(a.out)
}

func (a *app) databaseMove() *cobra.Command {
	var file, from, to string
	var keep bool
	cmd := &cobra.Command{
		Use: "move --to DATABASE", Short: "Move all rows to another database, compare each one, and use that from then on", Args: words("", 0, 0),
		Long: "Move everything that the appliance keeps in its database to another one: from SQLite to PostgreSQL, back, or to another\n" +
			"server. The appliance is stopped for it; sessions go on. All rows are looked at before anything is done, copied, read back\n" +
			"and compared; only then is the new database used. A move that was broken off, however, can be repeated, and until it is\n" +
			"over the old one counts. That one is kept as it was.",
		Example: "  palisade database move --to postgres://palisade@db.example.com/palisade\n  palisade database move --to sqlite",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return &usageError{message: "database move needs --to", hint: "--to postgres://USER@HOST:5432/DATABASE, or --to sqlite for the file in the data directory", line: cmd.UseLine()}
			}
			cfg, err := a.databaseSettings(file, from)
			if err != nil {
				return err
			}
			if to != "sqlite" {
				// Read as the settings are: a path is made absolute, what is no database is refused.
				address, problems := config.ReadDatabase(to)
				if err := problems.Err(); err != nil {
					return &usageError{message: "--to: " + err.Error()}
				}
				to = address
			}
			progress := a.newProgress()
			moved, err := a.MoveDatabase(cmd.Context(), DatabaseMove{Config: cfg, File: file, To: to, Keep: keep, Log: a.logger(config.Log{Level: slog.LevelWarn, Format: cfg.Log.Format}),
				Progress: func(phase, table string, done, total int64) {
					progress.status(a.now(), fmt.Sprintf("%s %s, %d of %d rows", phase, table, done, total))
				}})
			progress.clear()
			if err != nil {
				return err
			}
			return a.show(result{json: moved, quiet: []string{moved.To}, text: func() error { a.databaseMoved(moved); return nil }})
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "sqlite, sqlite:FILE or postgres://...; a password is better left to ~/.pgpass or PGPASSWORD than written here")
	f.StringVar(&from, "from", "", "the database that the appliance uses, where it is started with --database")
	f.StringVar(&file, "config", "", "settings file of the appliance: changed where it names the database")
	f.BoolVar(&keep, "keep-config", false, "copy and compare only: the appliance goes on with the old one")
	return cmd
}

func (a *app) databaseMoved(m api.DatabaseMoved) {
	t := newTable("TABLE", "ROWS", "SHA-256")
	for _, one := range m.Tables {
		t.add(one.Name, strconv.FormatInt(one.Rows, 10), one.SHA256[:min(16, len(one.SHA256))])
	}
	t.write(a.out)
	fmt.Fprintf(a.out, "\n%d rows of %d tables are in %s; each was read back and is the same.\n", m.Rows, len(m.Tables), m.To)
	if len(m.Left) > 0 {
		fmt.Fprintf(a.out, "Not the appliance's, and left where they were: %s\n", strings.Join(m.Left, ", "))
	}
	if !m.Used {
		fmt.Fprintf(a.out, "The appliance goes on with %s. To use the copy, before anything is changed: palisade serve --database %s\n", m.From, m.To)
	} else {
		fmt.Fprintf(a.out, "It is used from now on (%s). The old one is kept as it was: %s\n", m.SetIn, m.Kept)
		back := "sqlite"
		if strings.HasPrefix(m.From, "postgres") {
			back = "postgres://... (an empty database)"
		}
		fmt.Fprintf(a.out, "  next: start the appliance\n  back, with what is changed from now on: palisade database move --to %s\n", back)
	}
	if m.Warning != "" {
		a.notef("warning: %s", m.Warning)
	}
}
