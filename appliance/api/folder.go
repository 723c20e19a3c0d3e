package api

import "time"

// Folder is a directory of the box that sessions mount by name.
type Folder struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Project   string    `json:"project"`
	Usage     string    `json:"usage"` // model, general, data
	Path      string    `json:"path"`  // on the box
	Imported  bool      `json:"imported"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
}

// FolderCreate makes a folder. With ImportPath, a directory that is on the box already becomes one, where it
// is; removing that folder leaves the directory alone.
type FolderCreate struct {
	Name       string `json:"name,omitempty"` // with ImportPath, default: the directory's name
	Project    string `json:"project,omitempty"`
	Usage      string `json:"usage,omitempty"` // default model
	ImportPath string `json:"import_path,omitempty"`
}

// Entry is one thing in a folder.
type Entry struct {
	Path    string    `json:"path"`           // from the folder's root, slashes
	Type    string    `json:"type"`           // file, directory
	Link    bool      `json:"link,omitempty"` // a symbolic link: the rest says what it leads to
	Size    int64     `json:"size"`           // of a file
	ModTime time.Time `json:"mod_time"`

	Executable bool `json:"executable,omitempty"` // a file that may be run
}
