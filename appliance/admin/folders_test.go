package admin_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// part sends a part of an upload.
func (b *box) part(id string, at int, body string) *httptest.ResponseRecorder {
	r := b.request("PATCH", "/folders/data/uploads/"+id, body)
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set(api.HeaderOffset, strconv.Itoa(at))
	return b.serve(r)
}

// TestUploadInParts: with the time that the file is to have, and with what a session may do to the part meanwhile.
func TestUploadInParts(t *testing.T) {
	b := newBox(t)
	var folder api.Folder
	b.do("POST", "/folders", `{"name":"data"}`, 201, &folder)
	var u api.FolderUpload
	b.do("POST", "/folders/data/uploads", `{"path":"d/x","size":10,"mod_time":"2026-03-01T22:00:00.5Z"}`, 201, &u)
	if w := b.part(u.ID, 0, "01234"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := os.RemoveAll(filepath.Join(folder.Path, ".palisade-uploads")); err != nil {
		t.Fatal(err)
	}
	// Nothing is put behind what is gone.
	if w := b.part(u.ID, 5, "56789"); w.Code != 409 || w.Header().Get(api.HeaderOffset) != "0" || !strings.Contains(w.Body.String(), "has been removed from the folder meanwhile") {
		t.Errorf("%d %s %s", w.Code, w.Header(), w.Body)
	}
	whole := "0123456789"
	if w := b.part(u.ID, 0, whole); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	part := filepath.Join(folder.Path, ".palisade-uploads", u.ID)
	if err := os.Truncate(part, 3); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(whole))
	finish := `{"digest":"sha256:` + hex.EncodeToString(sum[:]) + `"}`
	b.do("POST", "/folders/data/uploads/"+u.ID+"/finish", finish, 409, nil)
	if w := b.part(u.ID, 0, whole); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var e api.Entry
	b.do("POST", "/folders/data/uploads/"+u.ID+"/finish", finish, 200, &e)
	if got, err := os.ReadFile(filepath.Join(folder.Path, "d/x")); err != nil || string(got) != whole || !e.ModTime.Equal(time.Date(2026, 3, 1, 22, 0, 0, 5e8, time.UTC)) {
		t.Errorf("%q %v, %+v", got, err, e)
	}
}

// TestPipesInFolders: nobody waits for the other end of one, wherever a session has put it.
func TestPipesInFolders(t *testing.T) {
	b := newBox(t)
	var folder api.Folder
	b.do("POST", "/folders", `{"name":"data"}`, 201, &folder)
	for _, name := range []string{"pipe", ".palisade-uploads"} {
		if err := syscall.Mkfifo(filepath.Join(folder.Path, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b.do("GET", "/folders/data/entries?path=pipe", "", 400, nil)
	b.do("GET", "/folders/data/files?path=pipe", "", 400, nil)
	b.do("PUT", "/folders/data/files?path=x", "x", 400, nil)
	if err := b.Folders.Sweep(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
}
