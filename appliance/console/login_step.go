package console

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// stepCookie carries what the first step of a log-in has proved to the second one: sealed, to that page alone, for a moment. So
// a password stands in no page, and the appliance keeps nothing for who never comes back.
const (
	stepCookie   = "palisade_login"
	stepPatience = 5 * time.Minute
)

// step is a name with its password, between the first step of a log-in and the code of the second factor.
type step struct {
	Name     string    `json:"n"`
	Password string    `json:"p"`
	Until    time.Time `json:"u"`
}

// steps seals them with a key of this process.
type logInSteps struct{ aead cipher.AEAD }

func newSteps() (logInSteps, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return logInSteps{}, fmt.Errorf("drawing a key for log-ins: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return logInSteps{}, fmt.Errorf("drawing a key for log-ins: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return logInSteps{}, fmt.Errorf("drawing a key for log-ins: %w", err)
	}
	return logInSteps{aead}, nil
}

func (s logInSteps) seal(one step) (string, error) {
	raw, err := json.Marshal(one) //nolint:gosec // it is sealed in the next line but two
	if err != nil {
		return "", fmt.Errorf("sealing a log-in: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, raw, []byte(stepCookie))), nil //nolint:gosec // the cipher draws its own nonce
}

// open returns what was sealed; false where it is not ours, or too long ago.
func (s logInSteps) open(sealed string, now time.Time) (one step, good bool) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return step{}, false
	}
	if raw, err = s.aead.Open(nil, nil, raw, []byte(stepCookie)); err != nil || json.Unmarshal(raw, &one) != nil || now.After(one.Until) {
		return step{}, false
	}
	return one, true
}

// setStep keeps a step in the browser; "" takes it from there.
func setStep(w http.ResponseWriter, r *http.Request, sealed string) {
	//nolint:gosec // Secure where the connection is
	k := &http.Cookie{Name: stepCookie, Value: sealed, Path: Prefix + "/login", MaxAge: int(stepPatience.Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://")}
	if sealed == "" {
		k.MaxAge = -1
	}
	http.SetCookie(w, k)
}
