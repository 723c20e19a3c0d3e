package backup

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Seal is who can open a backup: one or more public keys of age (age1...), or who knows a passphrase.
type Seal struct {
	Recipients []string
	Passphrase string
	// Work is the cost of trying a passphrase, as a power of two; 0 is age's own, about a second.
	Work int
}

// Keys open backups: secret keys of age, and a passphrase where one was given.
type Keys struct {
	Secret     string // text of a file of keys, as age-keygen writes it
	Passphrase string
}

// How a backup is sealed.
const (
	SealedToKeys       = "keys"
	SealedByPassphrase = "passphrase"
)

const leastPassphrase = 8 // bytes

func (s Seal) recipients() (out []age.Recipient, kind string, err error) {
	switch {
	case s.Passphrase != "" && len(s.Recipients) > 0:
		return nil, "", &Error{ErrSeal, errors.New("both keys and a passphrase were given"), "give one of them"}
	case s.Passphrase != "":
		if len(s.Passphrase) < leastPassphrase {
			return nil, "", &Error{ErrSeal, fmt.Errorf("the passphrase is shorter than %d bytes", leastPassphrase), "whoever has the file can try as often as they like: take several words"}
		}
		r, err := age.NewScryptRecipient(s.Passphrase)
		if err != nil {
			return nil, "", err
		}
		if s.Work > 0 {
			r.SetWorkFactor(s.Work)
		}
		return []age.Recipient{r}, SealedByPassphrase, nil
	case len(s.Recipients) == 0:
		return nil, "", &Error{ErrNoKey, nil, "make a key with `palisade backup key`, and name its public part in the settings as backup.recipients; or give --recipient or --passphrase"}
	}
	for _, text := range s.Recipients {
		r, err := CheckRecipient(text)
		if err != nil {
			return nil, "", err
		}
		out = append(out, r)
	}
	return out, SealedToKeys, nil
}

// CheckRecipient reads a public key.
func CheckRecipient(text string) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	all, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(all) != 1 {
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return nil, &Error{ErrSeal, errors.New("this is the secret part of a key"), "name its public part, which begins with age1: `palisade backup key` prints both"}
		}
		return nil, &Error{ErrSeal, fmt.Errorf("%.20q is no public key of age", text), "they begin with age1: `palisade backup key` makes one"}
	}
	return all[0], nil
}

// NewKey makes a key: the secret part opens what is sealed to the public one.
func NewKey() (secret, public string, err error) {
	k, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("making a key: %w", err)
	}
	return k.String(), k.Recipient().String(), nil
}

func (k Keys) open(r io.Reader, sealed string) (io.Reader, error) {
	ids, err := k.identities(sealed)
	if err != nil {
		return nil, err
	}
	out, err := age.Decrypt(r, ids...)
	if _, no := errors.AsType[*age.NoIdentityMatchError](err); no {
		hint := "give the file with its secret key: --key FILE"
		if sealed == SealedByPassphrase {
			hint = "is the passphrase right, capitals and spaces too?"
		}
		return nil, &Error{ErrKey, nil, hint}
	}
	if err != nil {
		return nil, broken(err)
	}
	return out, nil
}

func (k Keys) identities(sealed string) ([]age.Identity, error) {
	if sealed == SealedByPassphrase {
		if k.Passphrase == "" {
			return nil, &Error{ErrKey, errors.New("it is sealed by a passphrase"), "give it with --passphrase-file FILE, PALISADE_BACKUP_PASSPHRASE, or on a terminal"}
		}
		id, err := age.NewScryptIdentity(k.Passphrase)
		if err != nil {
			return nil, err
		}
		return []age.Identity{id}, nil
	}
	if k.Secret == "" {
		return nil, &Error{ErrKey, errors.New("it is sealed to a key"), "give the file with its secret key: --key FILE"}
	}
	ids, err := age.ParseIdentities(strings.NewReader(k.Secret))
	if err != nil {
		return nil, &Error{ErrKey, errors.New("what was given is no secret key of age"), "they begin with AGE-SECRET-KEY-: `palisade backup key` has printed it"}
	}
	return ids, nil
}

// Check says what is wrong with it: ErrNoKey.
func (s Seal) Check() error {
	_, _, err := s.recipients()
	return err
}
