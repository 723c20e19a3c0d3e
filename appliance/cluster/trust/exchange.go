package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
)

// LongestRequest is the largest request that is read, in bytes.
const LongestRequest = 16 << 10

// Request is what a box says to be let in. The same box may say it again at any time: it gets the same answer.
type Request struct {
	TokenID string `json:"token_id"`
	Secret  string `json:"secret"` // of the token
	// CSR is a PKCS #10 request in DER: the name as its common name, the box's public key, and the age recipient that
	// the cluster key is to be sealed to, all signed with the key.
	CSR     []byte `json:"csr"`
	Version string `json:"version,omitempty"` // of the program; for people
	Address string `json:"address,omitempty"` // where the box says that it can be reached; for people
}

// State says how far a box is.
type State string

// States of a box that asked to be let in.
const (
	// Waiting: somebody has to approve of it.
	Waiting State = "waiting"
	// In: it is a node.
	In State = "in"
	// Refused: somebody said no.
	Refused State = "refused"
)

// Answer is what a box that asked gets. Of a Waiting one only State, Cluster and Bundle are set: a certificate of this
// authority opens etcd, so there is none before the approval.
type Answer struct {
	State       State  `json:"state"`
	Cluster     string `json:"cluster"`
	Bundle      Bundle `json:"bundle"`
	Certificate []byte `json:"certificate,omitempty"` // DER
	SealedKey   []byte `json:"sealed_key,omitempty"`  // the cluster key
}

// Refusal is an error on the wire.
type Refusal struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Hint       string `json:"hint,omitempty"`
	RetryAfter int    `json:"retry_after,omitempty"` // seconds
}

// codes are the kinds of errors that go over the wire.
var codes = []struct {
	code string
	kind error
}{
	{"invalid", ErrInvalid}, {"token", ErrToken}, {"spent", ErrSpent}, {"taken", ErrTaken}, {"refused", ErrRefused},
	{"removed", ErrRemoved}, {"slow", ErrSlow}, {"not_found", ErrNotFound}, {"busy", ErrBusy},
}

// Refuse puts an error into what goes over the wire. ok is false for one that is not the asker's business: a 500.
func Refuse(err error) (r Refusal, ok bool) {
	for _, c := range codes {
		if !errors.Is(err, c.kind) {
			continue
		}
		r = Refusal{Code: c.code, Message: err.Error()}
		if e, is := errors.AsType[*Error](err); is {
			r.Hint, r.RetryAfter = e.hint, int((e.after+time.Second-1)/time.Second)
		}
		return r, true
	}
	return Refusal{Code: "internal", Message: "the other box could not answer; its log says why"}, false
}

// Err is the error that r was made of, as far as one can tell it from here. What came over the wire is cut: it goes to
// a person's terminal.
func (r Refusal) Err() error {
	kind := errors.New("the other box refused")
	for _, c := range codes {
		if c.code == r.Code {
			kind = c.kind
		}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(plain(r.Message), kind.Error()), ": ")
	err := &Error{err: kind, hint: plain(r.Hint), after: min(time.Duration(max(r.RetryAfter, 0))*time.Second, time.Hour)}
	if text != "" {
		err.err = fmt.Errorf("%s: %w", text, kind)
	}
	return err
}

func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "..."
	}
	return text
}

// ReadRequest reads a Request in JSON: at most LongestRequest bytes, no other fields, nothing behind it.
func ReadRequest(r io.Reader) (Request, error) {
	var out Request
	raw, err := io.ReadAll(io.LimitReader(r, LongestRequest+1))
	if err != nil {
		return out, fmt.Errorf("reading a request to join: %w", err)
	}
	if len(raw) > LongestRequest {
		return out, fmt.Errorf("a request to join: %w: more than %d bytes", ErrInvalid, LongestRequest)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil || d.Decode(&struct{}{}) != io.EOF {
		return Request{}, fmt.Errorf("a request to join: %w: not the JSON that is wanted", ErrInvalid) // its words may hold the secret
	}
	out.Version, out.Address = plain(out.Version), plain(out.Address)
	return out, nil
}

// LongestAnswer is the largest answer that is read, in bytes.
const LongestAnswer = 256 << 10

// ReadAnswer reads an Answer in JSON. Fields that are not known here are of a newer version.
func ReadAnswer(r io.Reader) (Answer, error) {
	var out Answer
	if err := json.NewDecoder(io.LimitReader(r, LongestAnswer)).Decode(&out); err != nil {
		return Answer{}, fmt.Errorf("an answer to a request to join: %w: not the JSON that is wanted", ErrInvalid)
	}
	if out.State != Waiting && out.State != In {
		return Answer{}, fmt.Errorf("an answer to a request to join: %w: the state %s", ErrInvalid, strconv.Quote(plain(string(out.State))))
	}
	return out, nil
}

// asked is what a request is about, after it was proven that who asks has the key.
type asked struct {
	name      string
	public    *ecdsa.PublicKey
	key       string // its id
	recipient *age.X25519Recipient
}

const (
	scheme          = "palisade"
	recipientPrefix = "seal-to:" // of a URI in a CSR
)

func (r Request) check() (asked, error) { return checkCSR(r.CSR) }

// checkCSR reads what a box signed.
func checkCSR(der []byte) (asked, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return asked{}, fmt.Errorf("a request to join: %w: its CSR cannot be read", ErrInvalid)
	}
	public, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return asked{}, fmt.Errorf("a request to join: %w: its key is not one of ECDSA P-256", ErrInvalid)
	}
	if err := csr.CheckSignature(); err != nil {
		return asked{}, fmt.Errorf("a request to join: %w: it is not signed with the key that it is for", ErrInvalid)
	}
	if err := CheckName(csr.Subject.CommonName); err != nil {
		return asked{}, err
	}
	out := asked{name: csr.Subject.CommonName, public: public, key: publicID(csr.RawSubjectPublicKeyInfo)}
	if len(csr.URIs) != 1 || csr.URIs[0].Scheme != scheme {
		return asked{}, fmt.Errorf("a request to join: %w: it does not say what to seal to", ErrInvalid)
	}
	text, ok := strings.CutPrefix(csr.URIs[0].Opaque, recipientPrefix)
	if !ok {
		return asked{}, fmt.Errorf("a request to join: %w: it does not say what to seal to", ErrInvalid)
	}
	if out.recipient, err = age.ParseX25519Recipient(text); err != nil {
		return asked{}, fmt.Errorf("a request to join: %w: what to seal to cannot be read", ErrInvalid)
	}
	return out, nil
}
