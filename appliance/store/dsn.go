package store

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Schemes of a DSN.
const (
	schemeSQLite   = "sqlite"
	schemePostgres = "postgres"
)

// address is a DSN taken apart.
type address struct {
	scheme string
	path   string // SQLite: of the file, absolute
	url    string // PostgreSQL: the DSN itself
}

// parseDSN reads "sqlite:PATH", a plain path, "postgres://..." or "postgresql://...". Its errors never
// repeat a URL: that may hold a password.
func parseDSN(dsn string) (address, error) {
	scheme, rest, hasScheme := strings.Cut(dsn, ":")
	switch {
	case dsn == "":
		return address{}, badDSN("no database is given")
	case hasScheme && (scheme == "postgres" || scheme == "postgresql"):
		if _, err := url.Parse(dsn); err != nil {
			return address{}, badDSN("this PostgreSQL URL cannot be read: " + urlCause(err))
		}
		if !strings.HasPrefix(rest, "//") {
			return address{}, badDSN("a PostgreSQL URL begins with postgres://")
		}
		return address{scheme: schemePostgres, url: dsn}, nil
	case hasScheme && scheme == "sqlite":
		// sqlite:///var/x and sqlite:/var/x mean the same file.
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			rest = after
		}
		return sqliteAddress(rest)
	case hasScheme && strings.HasPrefix(rest, "//"):
		return address{}, badDSN(fmt.Sprintf("there is no database of the kind %q", scheme))
	}
	return sqliteAddress(dsn)
}

func sqliteAddress(path string) (address, error) {
	if path == "" || strings.HasSuffix(path, "/") {
		return address{}, badDSN("a SQLite database is one file, and no file is named")
	}
	// Every connection would get a memory of its own, and none of it would survive.
	if strings.Contains(path, ":memory:") || strings.HasPrefix(path, "file:") {
		return address{}, badDSN("SQLite databases in memory and file: URIs are not supported")
	}
	if strings.ContainsRune(path, 0) {
		return address{}, badDSN("the path of the database holds a NUL byte")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return address{}, badDSN("finding the working directory: " + err.Error())
	}
	return address{scheme: schemeSQLite, path: abs}, nil
}

func badDSN(message string) error {
	return &Error{Kind: ErrInvalidDSN, Err: errors.New(message),
		hint: "write sqlite:/path/to/palisade.db or postgres://USER:PASSWORD@HOST:5432/DATABASE"}
}

// urlCause is what is wrong with a URL, without the URL.
func urlCause(err error) string {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if strings.Contains(ue.Err.Error(), "invalid port") {
			return "invalid port (is there a '/', '#' or '?' in the password? write it as %2F, %23, %3F)"
		}
		return ue.Err.Error()
	}
	return "not a URL"
}

// Redact returns dsn without the password in it: for logs and for people.
func Redact(dsn string) string {
	if !strings.HasPrefix(dsn, "postgres") || !strings.Contains(dsn, "://") {
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "postgres://(unreadable)"
	}
	q := u.Query()
	for _, secret := range []string{"password", "sslpassword"} {
		if q.Has(secret) {
			q.Set(secret, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}
