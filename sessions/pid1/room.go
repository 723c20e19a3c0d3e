package pid1

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
)

// MaxFile is the room of one file, in bytes: it holds a message of 2 KiB, each byte written as \u0000.
const MaxFile = 16 << 10

// Reserve takes the room on the disk that Fill will need: a full disk must lose no exit status.
func Reserve(dir *os.Root, name string) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Repeat(" ", MaxFile))
	return errors.Join(err, f.Close())
}

// Fill puts v into the room that Reserve took, and gives it the name to, all of it or nothing, power cuts
// included.
func Fill(dir *os.Root, name, to string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = errors.Join(f.Truncate(int64(len(b))), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := dir.Rename(name, to); err != nil {
		return err
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
