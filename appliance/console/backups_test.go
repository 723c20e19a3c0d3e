package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/backup"
)

func TestBackups(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/backups", language, http.StatusOK), `id="live-backups"`, "30 3 * * *", "palisade backup restore", `name="recipient"`, " required")
	}
	if w := b.post("/backups", nil, http.StatusConflict); !strings.Contains(w.Body.String(), "nothing to seal it to") {
		t.Error(w.Body)
	}
	_, public, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	b.post("/backups", url.Values{"recipient": {" " + public + " "}, "models": {"1"}}, http.StatusNoContent)
	all, err := b.Backups.Backups()
	if err != nil || len(all) != 1 || !all[0].Models || all[0].Folders {
		t.Fatalf("%+v %v", all, err)
	}
	name := all[0].Name
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/backups", language, http.StatusOK), name, `/backups/`+name+`/file"`, `/backups/`+name+`/verify"`, "box-1", "bg-green-lt")
	}
	b.post("/backups/"+name+"/verify", nil, http.StatusNoContent)
	if file := b.get("/backups/"+name+"/file", "en", http.StatusOK); int64(len(file)) != all[0].Bytes {
		t.Errorf("%d bytes came of %d", len(file), all[0].Bytes)
	}
	ada := b.user("ada", false)
	for _, path := range []string{"/backups", "/backups/" + name + "/file"} {
		if w := b.as(ada, http.MethodGet, path, nil); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	b.post("/backups/"+name+"/remove", nil, http.StatusNoContent)
	b.post("/backups/"+name+"/remove", nil, http.StatusNotFound)
}
