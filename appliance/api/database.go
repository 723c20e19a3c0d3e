package api

// DatabaseMoved is what `palisade database move` has done. It goes over no wire: the appliance does not run meanwhile.
type DatabaseMoved struct {
	From    string          `json:"from"` // without passwords
	To      string          `json:"to"`
	Version int64           `json:"version"` // of the schema
	Rows    int64           `json:"rows"`
	Tables  []DatabaseTable `json:"tables"`
	// Left are tables that are not the appliance's: they stayed.
	Left []string `json:"left,omitempty"`
	// Used is whether the appliance uses the new one from now on.
	Used bool `json:"used"`
	// SetIn is the file that says so.
	SetIn string `json:"set_in,omitempty"`
	// Kept is where the old database is now, as it was.
	Kept string `json:"kept"`
	// Warning is what did not go as it should, and does no harm.
	Warning string `json:"warning,omitempty"`
}

// DatabaseTable is one table of a database.
type DatabaseTable struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256,omitempty"` // of all its rows in the order of their keys
}

// DatabaseStatus is which database an appliance uses, and what is in it.
type DatabaseStatus struct {
	Database string `json:"database"` // without passwords
	Kind     string `json:"kind"`     // sqlite or postgres
	// Version is that of its schema, Known the newest that this program knows.
	Version int64           `json:"version"`
	Known   int64           `json:"known"`
	Bytes   int64           `json:"bytes"` // on the disk
	Tables  []DatabaseTable `json:"tables"`
	// Holder is who has it now, of PostgreSQL: process 123 on box. Empty for nobody, and where it cannot be known.
	Holder string `json:"holder,omitempty"`
	// Half: a move to it was broken off. What it was moved from is the one that counts.
	Half bool `json:"half,omitempty"`
}
