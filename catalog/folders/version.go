package folders

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Version is a file as somebody has seen it; the zero one: there was none.
type Version struct {
	Modified time.Time
	Size     int64
}

// ErrChanged says that a file is another one than it was.
var ErrChanged = errors.New("changed meanwhile")

// same says whether the file is the one that was seen.
func (v *Version) same(root *os.Root, name string) error {
	if v == nil {
		return nil
	}
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && v.Modified.IsZero():
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &fault{kind: ErrChanged, message: name + " has been removed meanwhile", hint: "save it under its name again, or leave it"}
	case err != nil:
		return writeFault(name, err)
	case v.Modified.IsZero():
		return &fault{kind: ErrChanged, message: name + " is there already", hint: "choose another name, or look at what is there first"}
	case !info.ModTime().Equal(v.Modified) || info.Size() != v.Size:
		return &fault{kind: ErrChanged, message: name + " has been changed meanwhile", hint: "look at what is there now, then save again"}
	}
	return nil
}
