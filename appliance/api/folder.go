package api

import "time"

// Folder is a directory of the box that sessions mount by name.
type Folder struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Project    string    `json:"project"`
	Ref        string    `json:"ref"`        // how it is called where one works: NAME, or NAME@PROJECT of another project
	Permission string    `json:"permission"` // ro, rw, wd, or owner
	Usage      string    `json:"usage"`      // model, general, data
	Path       string    `json:"path"`       // on the box
	Imported   bool      `json:"imported"`
	Quota      int64     `json:"quota,omitempty"` // bytes that it may hold
	CreatedBy  string    `json:"created_by"`
	CreatedAt  time.Time `json:"created_at"`

	// Of one in the trash.
	TrashedAt *time.Time `json:"trashed_at,omitempty"`
	TrashedBy string     `json:"trashed_by,omitempty"`
	KeptUntil *time.Time `json:"kept_until,omitempty"`
}

// FolderCreate makes a folder. With ImportPath, a directory that is on the box already becomes one, where it
// is; removing that folder leaves the directory alone.
type FolderCreate struct {
	Name       string `json:"name,omitempty"` // with ImportPath, default: the directory's name
	Project    string `json:"project,omitempty"`
	Usage      string `json:"usage,omitempty"` // default model
	ImportPath string `json:"import_path,omitempty"`
	Quota      int64  `json:"quota,omitempty"` // bytes; 0: no bound
}

// FolderUpdate changes a folder: what is left out stays.
type FolderUpdate struct {
	Name  *string `json:"name,omitempty"`
	Quota *int64  `json:"quota,omitempty"` // bytes; 0: no bound
}

// FolderUse is what a folder holds.
type FolderUse struct {
	Bytes       int64     `json:"bytes"` // of files; one with several names counts once
	Files       int64     `json:"files"`
	Directories int64     `json:"directories"`
	At          time.Time `json:"at"`                   // when it was counted
	Incomplete  bool      `json:"incomplete,omitempty"` // there is more: counting was given up
	Arriving    int       `json:"arriving,omitempty"`   // uploads that are not finished

	Quota        int64 `json:"quota,omitempty"`         // bytes that the folder may hold
	ProjectQuota int64 `json:"project_quota,omitempty"` // bytes that all folders of the project may hold
	ProjectHeld  int64 `json:"project_held,omitempty"`  // and do, those in the trash too; where they are bounded

	Over string `json:"over,omitempty"` // a sentence, where more is held than may be
}

// FolderShare lets a person, or all of a project, use a folder.
type FolderShare struct {
	Person     string    `json:"person,omitempty"` // one of the two
	ToProject  string    `json:"to_project,omitempty"`
	Permission string    `json:"permission"` // ro, rw, wd
	CreatedBy  string    `json:"created_by,omitempty"`
	CreatedAt  time.Time `json:"created_at,omitzero"`
}

// FolderClone makes a folder with all that is in another.
type FolderClone struct {
	Name    string `json:"name"`
	Project string `json:"project,omitempty"`
	Usage   string `json:"usage,omitempty"` // default: that of the other
}

// FolderCloning is one line of a clone's answer. The last one has folder, or problem.
type FolderCloning struct {
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	OfFiles int64    `json:"of_files"`
	OfBytes int64    `json:"of_bytes"`
	Shared  int64    `json:"shared"`             // of bytes: what takes no room, since the disk keeps it once
	LeftOut int64    `json:"left_out,omitempty"` // pipes, sockets and devices
	Folder  *Folder  `json:"folder,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// FolderRestore takes a folder out of the trash.
type FolderRestore struct {
	Name string `json:"name,omitempty"` // default: the one that it had
}

// Entry is one thing in a folder.
type Entry struct {
	Path    string    `json:"path"`           // from the folder's root, slashes
	Type    string    `json:"type"`           // file, directory
	Link    bool      `json:"link,omitempty"` // a symbolic link: the rest says what it leads to
	Size    int64     `json:"size"`           // of a file
	ModTime time.Time `json:"mod_time"`
	ETag    string    `json:"etag,omitempty"` // of a file: another one when it has changed

	Executable bool   `json:"executable,omitempty"` // a file that may be run
	SHA256     string `json:"sha256,omitempty"`     // hex, of one that was just written
}

// Directory is a part of a directory of a folder: directories first, then files.
type Directory struct {
	Path        string  `json:"path"` // from the folder's root; empty: the root itself
	Items       []Entry `json:"items"`
	Offset      int     `json:"offset"`      // entries before these
	Directories int     `json:"directories"` // that match, in all
	Files       int     `json:"files"`       // that match, in all
}

// Validate asks what is wrong with a text.
type Validate struct {
	File string `json:"file"` // its name: model-definition.yaml
	Text string `json:"text"`
}

// Validation says that nothing is wrong with a text. What is wrong comes as a Problem.
type Validation struct {
	Kind     string       `json:"kind"`     // what it was read as: model-definition, recipe, pipeline, yaml, json, toml; empty: text
	Warnings []FieldError `json:"warnings"` // what is doubtful, with line and column
}

// EntryMove gives a file or directory of a folder another path in it.
type EntryMove struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// DirectoryCreate makes a directory of a folder, and those above it.
type DirectoryCreate struct {
	Path string `json:"path"`
}

// UploadCreate begins an upload in parts, or goes on with one.
type UploadCreate struct {
	Path       string     `json:"path"` // from the folder's root
	Size       int64      `json:"size"` // bytes
	Executable *bool      `json:"executable,omitempty"`
	ModTime    *time.Time `json:"mod_time,omitempty"` // what the file is to have; default: when it is finished
	Checksum   string     `json:"checksum,omitempty"` // how it is compared: sha256 (default) or xxh64
}

// FolderUpload is a file that comes in parts.
type FolderUpload struct {
	ID        string    `json:"id"`
	Path      string    `json:"path"`
	Size      int64     `json:"size"`
	Offset    int64     `json:"offset"` // bytes that are there: the next part begins here
	Digest    string    `json:"digest"` // of these: sha256:HEX, or xxh64:HEX
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
	TouchedAt time.Time `json:"touched_at"`
}

// UploadFinish ends an upload.
type UploadFinish struct {
	Digest string `json:"digest,omitempty"` // sha256:HEX or xxh64:HEX of all of it, as the sender has it
}

// Headers of uploads.
const (
	HeaderOffset   = "Upload-Offset"   // where the part begins that is sent, or where the next one is to
	HeaderChecksum = "Upload-Checksum" // of the part that is sent: crc32c BASE64
)
