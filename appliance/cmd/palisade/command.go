package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// command is how this program can be started once more, later and from here: by the path that it was started with, where
// a later version may be by then, behind a link maybe. Where that leads nowhere, by its file.
func command(executable string) []string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path = executable
	}
	return append([]string{path}, os.Args[1:]...)
}
