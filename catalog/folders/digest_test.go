package folders

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// TestDigests: sums go on from their states, whatever the kind, and only those of one kind are compared.
func TestDigests(t *testing.T) {
	content := []byte(strings.Repeat("palisade", 1000))
	for kind, want := range map[Checksum]string{
		SHA256: hexOf(content), XXH64: fmt.Sprintf("xxh64:%016x", xxhash.Sum64(content)),
	} {
		h := kind.begin()
		_, _ = h.Write(content[:333])
		_, state := kind.digestOf(h)
		h, err := kind.resumed(state)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = h.Write(content[333:])
		got, _ := kind.digestOf(h)
		if got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		if _, err := kind.resumed([]byte("no state")); err == nil {
			t.Errorf("%s went on from what is no state", kind)
		}
		for sender, of := range map[string]error{"": nil, want: nil, strings.ToUpper(want): nil, want[:len(want)-1] + "x": ErrChecksum, "md5:00": ErrInvalid, "00": ErrInvalid} {
			if err := compare(sender, want); !errors.Is(err, of) {
				t.Errorf("%s of %s: %v", sender, want, err)
			}
		}
	}
}
