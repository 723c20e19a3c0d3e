package admin

import "testing"

// What opens something is known by its looks, wherever it is quoted.
func TestLeaked(t *testing.T) {
	for _, secret := range []string{"pal_AbCdEfGhIjKlMnOpQrStUvWx", "pal-AbCdEfGhIjKlMnOpQrStUvWx", "pals_AbCdEfGhIjKlMnOpQrStUvWx-_AbCd", "Bearer abcdefgh12345"} {
		if got := string(cleaner(nil, nil)([]byte("error: " + secret + " is refused"))); got != "error: *** is refused" {
			t.Errorf("%s: %s", secret, got)
		}
	}
}
