package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
)

// heard passes an answer on, and keeps its beginning.
type heard struct {
	gin.ResponseWriter
	body bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	_, _ = (&bounded{&h.body}).Write(p)
	return h.ResponseWriter.Write(p)
}

func (h *heard) WriteString(s string) (int, error) { return h.Write([]byte(s)) }

// Unwrap lets streams through.
func (h *heard) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// name of what was made, as the answer says.
func (h *heard) name() string {
	type named struct{ Name, ID string }
	var made struct {
		named
		Key, Token, User named // beside their secrets
	}
	_ = json.Unmarshal(h.body.Bytes(), &made) // not every answer is a document
	return cmp.Or(made.Name, made.ID, made.Key.Name, made.Token.Name, made.User.Name, made.Key.ID, made.Token.ID)
}

// reading takes an answer that goes to nobody.
type reading struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *reading) Header() http.Header { return w.header }

func (w *reading) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *reading) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len() <= auditBody {
		w.body.Write(p)
	}
	return len(p), nil
}
