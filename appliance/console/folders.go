package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

func foldersPages() []Page {
	return []Page{
		{Pattern: "/folders", Name: "folders/list", Section: "folders", Data: foldersData, Personal: true},
		{Pattern: "/folders/trash", Name: "folders/trash", Section: "folders", Data: trashData},
		{Pattern: "/folders/{id}", Name: "folders/show", Section: "folders", Data: folderData, Personal: true},
		{Pattern: "/folders/{id}/files/{path...}", Name: "folders/browse", Section: "folders", Data: browseData, Still: true},
		{Pattern: "/folders/{id}/edit/{path...}", Name: "folders/edit", Section: "folders", Data: editData, Still: true},
	}
}

func foldersActions() []Action {
	return []Action{
		{Pattern: "/folders", Do: createFolder},
		{Pattern: "/folders/{id}/change", Do: changeFolder},
		{Pattern: "/folders/{id}/remove", Do: removeFolder},
		{Pattern: "/folders/{id}/share", Do: shareFolder},
		{Pattern: "/folders/{id}/unshare", Do: unshareFolder},
		{Pattern: "/folders/{id}/directory", Do: makeDirectory},
		{Pattern: "/folders/{id}/move", Do: moveEntry},
		{Pattern: "/folders/{id}/delete", Do: deleteEntry},
		{Pattern: "/folders/{id}/save", Do: saveFile},
		{Pattern: "/folders/trash/{id}/restore", Do: restoreFolder},
		{Pattern: "/folders/trash/{id}/purge", Do: purgeFolder},
	}
}

func foldersRaws() []Raw {
	return []Raw{{Pattern: "GET /folders/{id}/use", Serve: folderUse}}
}

// folderList is what the page of folders shows.
type folderList struct {
	Folders []api.Folder
	Match   string
	Kind    string
	All     int
	Trash   int
}

func foldersData(v *View) (any, error) {
	all, err := v.API.Folders(v.Context())
	if err != nil {
		return nil, err
	}
	out := folderList{Match: v.Parameter("match"), Kind: v.Parameter("kind"), All: len(all)}
	match := strings.ToLower(out.Match)
	for _, f := range all {
		if (match == "" || strings.Contains(strings.ToLower(f.Ref), match)) && (out.Kind == "" || f.Usage == out.Kind) {
			out.Folders = append(out.Folders, f)
		}
	}
	slices.SortStableFunc(out.Folders, func(a, b api.Folder) int { return strings.Compare(strings.ToLower(a.Ref), strings.ToLower(b.Ref)) })
	trash, err := v.API.Trash(v.Context())
	out.Trash = len(trash)
	return out, err
}

func trashData(v *View) (any, error) {
	trash, err := v.API.Trash(v.Context())
	return struct{ Folders []api.Folder }{trash}, err
}

// folderPage is one folder.
type folderPage struct {
	Folder       api.Folder
	Shares       []api.FolderShare
	Amount, Unit string // of its bound: 20, GiB
}

// amountOf writes a bound as the two fields of a form.
func amountOf(bytes int64) (amount, unit string) {
	if bytes == 0 {
		return "", ""
	}
	for _, u := range []struct {
		name string
		of   float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if unit = u.name; float64(bytes) >= u.of {
			return strconv.FormatFloat(float64(bytes)/u.of, 'f', -1, 64), unit
		}
	}
	return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', -1, 64), unit
}

func folderData(v *View) (any, error) {
	f, err := v.API.Folder(v.Context(), v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	shares, err := v.API.FolderShares(v.Context(), f.ID)
	page := folderPage{Folder: f, Shares: shares}
	page.Amount, page.Unit = amountOf(f.Quota)
	return page, err
}

// useOf is how much a folder holds of what it may.
type useOf struct {
	Use    api.FolderUse
	Folder string
	Bar    bool
	Share  float64
	Tone   string
}

// folderUse answers with how much a folder holds: it is counted, which takes a moment for a large one, so that a page asks for
// it when it is there already.
func folderUse(v *View, w http.ResponseWriter) error {
	use, err := v.API.FolderUse(v.Context(), v.PathValue("id"))
	if err != nil {
		return err
	}
	out := useOf{Use: use, Folder: v.PathValue("id")}
	if use.Quota > 0 {
		out.Bar, out.Share = true, float64(use.Bytes)/float64(use.Quota)
		out.Tone = ui.Fullness(out.Share)
	}
	v.console.fragment(w, v, http.StatusOK, "fragment-folder-use", out)
	return nil
}

// quota reads an amount such as 20 GiB from the two fields of a form; "" is no bound.
func quota(v *View) (int64, error) {
	text := strings.TrimSpace(strings.ReplaceAll(v.Field("quota"), ",", "."))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	unit := map[string]float64{"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[v.Field("quota_unit")]
	if err != nil || n < 0 || n*unit > 1<<60 {
		p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", v.Say("folders.bad_quota"))
		p.Errors = []api.FieldError{{Field: "quota", Message: v.Say("folders.bad_quota")}}
		return 0, p
	}
	return int64(n * unit), nil
}

func createFolder(v *View) (Outcome, error) {
	bytes, err := quota(v)
	if err != nil {
		return Outcome{}, err
	}
	f, err := v.API.CreateFolder(v.Context(), api.FolderCreate{
		Name: v.Field("name"), Usage: v.Field("usage"), ImportPath: strings.TrimSpace(v.Field("import_path")), Quota: bytes,
	})
	return Outcome{To: "/folders/" + f.ID + "/files/"}, err
}

func changeFolder(v *View) (Outcome, error) {
	bytes, err := quota(v)
	if err != nil {
		return Outcome{}, err
	}
	in := api.FolderUpdate{Quota: &bytes}
	if name := v.Field("name"); name != v.Field("was") {
		in.Name = &name
	}
	_, err = v.API.UpdateFolder(v.Context(), v.PathValue("id"), in)
	return Outcome{Toast: v.Say("folders.saved")}, err
}

func removeFolder(v *View) (Outcome, error) {
	return Outcome{To: "/folders"}, v.API.RemoveFolder(v.Context(), v.PathValue("id"))
}

func shareFolder(v *View) (Outcome, error) {
	in := api.FolderShare{Permission: v.Field("permission")}
	if v.Field("with") == "project" {
		in.ToProject = strings.TrimSpace(v.Field("name"))
	} else {
		in.Person = strings.TrimSpace(v.Field("name"))
	}
	_, err := v.API.ShareFolder(v.Context(), v.PathValue("id"), in)
	return Outcome{Toast: v.Say("folders.shared")}, err
}

func unshareFolder(v *View) (Outcome, error) {
	return Outcome{}, v.API.UnshareFolder(v.Context(), v.PathValue("id"), v.Field("person"), v.Field("to_project"))
}

func restoreFolder(v *View) (Outcome, error) {
	f, err := v.API.RestoreFolder(v.Context(), v.PathValue("id"), api.FolderRestore{Name: strings.TrimSpace(v.Field("name"))})
	return Outcome{To: "/folders/" + f.ID + "/files/"}, err
}

func purgeFolder(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("folders.purged")}, v.API.PurgeFolder(v.Context(), v.PathValue("id"))
}
