package console

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// backupsOnPage are the backups that the appliance keeps, and what the settings say of them.
type backupsOnPage struct {
	All      []api.Backup
	Schedule string // "": they are made by hand
	Zone     string
	Keep     string
	To       string // "": in the data directory
	Sealed   bool   // the settings say to whom
}

// Percent is how far one is that is being made.
func (backupsOnPage) Percent(b api.Backup) int64 {
	if b.Total <= 0 {
		return 0
	}
	return min(99, b.Done*100/b.Total)
}

func backupPages() []Page {
	return []Page{{Pattern: "/backups", Name: "settings/backups", Section: "settings", Data: backupsData}}
}

func backupActions() []Action {
	return []Action{
		{Pattern: "/backups", Do: func(v *View) (Outcome, error) {
			in := api.BackupCreate{Folders: v.Field("folders") != "", Models: v.Field("models") != ""}
			if to := strings.TrimSpace(v.Field("recipient")); to != "" {
				in.Recipients = []string{to}
			}
			_, err := v.API.CreateBackup(v.Context(), in)
			return Outcome{Toast: v.Say("backups.begun")}, err
		}},
		{Pattern: "/backups/{name}/verify", Do: func(v *View) (Outcome, error) {
			b, err := v.API.VerifyBackup(v.Context(), v.PathValue("name"))
			return Outcome{Toast: v.Say("backups.verified", b.Name)}, err
		}},
		{Pattern: "/backups/{name}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("backups.removed", v.PathValue("name"))}, v.API.RemoveBackup(v.Context(), v.PathValue("name"))
		}},
	}
}

func backupRaws() []Raw {
	return []Raw{{Pattern: "GET /backups/{name}/file", Serve: func(v *View, w http.ResponseWriter) error {
		from, size, err := v.API.FetchBackup(v.Context(), v.PathValue("name"))
		if err != nil {
			return err
		}
		defer from.Close()
		if size >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+v.PathValue("name")+`"`) // there is one of that name: it is safe
		_, _ = io.Copy(w, from)                                                                 // who reads it sees by its end that it is cut off
		return nil
	}}}
}

func backupsData(v *View) (any, error) {
	var out backupsOnPage
	var settings []api.Setting
	err := sideBySide(
		func() (err error) { out.All, err = v.API.Backups(v.Context()); return err },
		func() (err error) { settings, err = v.API.Settings(v.Context()); return err },
	)
	for _, s := range settings {
		switch s.Name {
		case "backup.schedule":
			out.Schedule = s.Value
		case "backup.zone":
			out.Zone = s.Value
		case "backup.keep":
			out.Keep = s.Value
		case "backup.to":
			out.To = s.Value
		case "backup.recipients", "backup.passphrase_file":
			out.Sealed = out.Sealed || s.Value != "" && s.Value != "[]"
		}
	}
	return out, err
}
