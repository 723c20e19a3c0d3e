package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "audit", Short: "Who changed what, and that nothing of it was altered since"})
	cmd.AddCommand(a.auditList(), a.auditVerify(), a.auditExport())
	return cmd
}

// auditFlags choose records.
func (a *app) auditFlags(cmd *cobra.Command, q *api.AuditQuery) {
	f := cmd.Flags()
	f.StringVar(&q.Actor, "actor", "", "only what this user of the box, or API key, has changed")
	f.StringVar(&q.Action, "action", "", "only this operation: createService")
	f.StringVar(&q.Target, "target", "", "only changes of this, and of what is below it: services/chat")
	f.StringVar(&q.From, "since", "", "from when on: 2026-03-01, 2026-03-01T08:00:00Z, or how long ago: 7d, 12h")
	f.StringVar(&q.To, "to", "", "until when, in the same forms; a day counts to its end (default now)")
	f.BoolVarP(&q.All, "all", "a", false, "changes in every project, not in this one alone")
}

// inAuditFlags puts an error about a parameter into the words of the command line.
func inAuditFlags(err error) error {
	return inFlags(err, map[string]string{"?from": "--since", "?to": "--to"})
}

func (a *app) auditList() *cobra.Command {
	var q api.AuditQuery
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List who changed what, newest first", Args: words("", 0, 0),
		Example: "  palisade audit list --since 24h\n  palisade audit list --target services/chat -o wide\n  palisade audit list --actor ann -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Zone = localZone(a.now(), a.env("TZ"))
			records, err := c.Audit(cmd.Context(), q, limit)
			if err != nil {
				return inAuditFlags(err)
			}
			if len(records) == 0 && a.output != "json" && !a.quiet {
				a.notef("nothing was changed; that in other projects: palisade audit list --all")
				return nil
			}
			return a.show(a.auditTable(records))
		},
	}
	a.auditFlags(cmd, &q)
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most so many")
	return cmd
}

func (a *app) auditTable(records []api.AuditRecord) result {
	t := newTable("WHEN", "WHO", "ACTION", "TARGET", "RESULT", "CHANGED")
	wide := newTable("NO.", "WHEN", "WHO", "VIA", "FROM", "PROJECT", "ACTION", "TARGET", "RESULT", "CHANGED")
	r := result{json: notNull(records), table: t, wide: wide}
	for i := range records {
		rec := &records[i]
		outcome := "done"
		switch {
		case rec.Status == 101 || rec.Status == 0 && rec.Error == "":
			outcome = "let in"
		case rec.Status >= 400:
			outcome = strconv.Itoa(rec.Status) + " " + rec.Error
		case rec.Error != "":
			outcome = rec.Error
		}
		at, changed := a.ago(rec.At), changesInWords(rec)
		t.add(at, orDash(rec.Actor), rec.Action, rec.Target, cut(outcome, 40), cut(changed, 60))
		wide.add(strconv.FormatInt(rec.Seq, 10), rec.At.Local().Format("2006-01-02 15:04:05"), orDash(rec.Actor), rec.Via, orDash(rec.From), rec.Project, rec.Action, rec.Target, outcome, changed)
		r.quiet = append(r.quiet, strconv.FormatInt(rec.Seq, 10))
	}
	return r
}

// changesInWords is what was changed, on one line.
func changesInWords(rec *api.AuditRecord) string {
	var parts []string
	for _, c := range rec.Changes {
		before, after := inJSON(c.Before), inJSON(c.After)
		switch {
		case c.Path == "" && before == "":
			parts = append(parts, after)
		case c.Path == "":
			parts = append(parts, "was "+before)
		case before == "":
			parts = append(parts, c.Path+"="+after)
		case after == "":
			parts = append(parts, c.Path+" gone, was "+before)
		default:
			parts = append(parts, c.Path+": "+before+" -> "+after)
		}
	}
	if rec.Detail != "" {
		parts = append(parts, rec.Detail)
	}
	return orDash(strings.Join(parts, ", "))
}

func inJSON(v any) string {
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

func (a *app) auditVerify() *cobra.Command {
	var in api.AuditVerify
	cmd := &cobra.Command{
		Use: "verify", Short: "Look at the whole record: nothing was changed in it, and nothing is missing", Args: words("", 0, 0),
		Long: "Look at the whole record: nothing was changed in it, and nothing is missing. Exit code 0: it is whole, 1: it is not.\n" +
			"What it prints is where the record ends now. Kept on another machine and given to --head later, it shows also what\n" +
			"somebody who may write everything on this box could have done: begin a new record.",
		Example: "  palisade audit verify -q >> heads.txt\n  palisade audit verify --head \"$(tail -n 1 heads.txt)\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			v, err := c.VerifyAudit(cmd.Context(), in)
			if err != nil {
				return inFlags(err, map[string]string{"head": "--head"})
			}
			if !v.Good && a.output != "json" {
				return errors.New(v.Fault)
			}
			err = a.show(result{quiet: []string{v.Head}, json: v, text: func() error {
				a.notef("the record is whole: %d changes", v.Records)
				fmt.Fprintln(a.out, v.Head)
				return nil
			}})
			if err == nil && !v.Good {
				return errors.New(v.Fault)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&in.Head, "head", "", "where the record ended at an earlier look: SEQ:HASH")
	return cmd
}

func (a *app) auditExport() *cobra.Command {
	var q api.AuditQuery
	cmd := &cobra.Command{
		Use: "export", Short: "Print records as lines of JSON, oldest first", Args: words("", 0, 0),
		Long: "Print records as lines of JSON, oldest first. hash is the SHA-256 of seq, prev and entry with line feeds between them, so that\n" +
			"the chain can be checked without this program; entry is JSON again.",
		Example: "  palisade audit export --all --since 2026-01 > audit.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Zone = localZone(a.now(), a.env("TZ"))
			return inAuditFlags(c.ExportAudit(cmd.Context(), q, a.out))
		},
	}
	a.auditFlags(cmd, &q)
	return cmd
}
