package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// skippedMigrations are numbers that no program has had. They stay so: a database remembers only the newest that it has, and one that
// comes below it would be missing there.
var skippedMigrations = []int{13, 24}

// TestNumbersOfMigrations: a migration goes to the end, and takes the next number.
func TestNumbersOfMigrations(t *testing.T) {
	files, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no migrations")
	}
	next := 1
	for _, file := range files { // in order: numbers have as many digits
		var got int
		if _, err := fmt.Sscanf(filepath.Base(file), "%05d_", &got); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for slices.Contains(skippedMigrations, next) {
			next++
		}
		if got != next {
			t.Errorf("%s comes where %d is due", file, next)
		}
		next = got + 1
	}
}
