package admin

import (
	"strings"

	"github.com/gin-gonic/gin"
)

// Routes are the patterns of all routes, as "GET /services/:id", and whether each may name its project in the body.
func Routes() (all []string, body map[string]bool) {
	body = map[string]bool{}
	(&server{}).table(func(n need, method, path string, _ func(*gin.Context) error) {
		all = append(all, method+" "+path)
		body[method+" "+path] = n&inBody != 0
	})
	return all, body
}

// NoPart reports whether an answer says that there is no such project for who asks.
func NoPart(detail string) bool { return strings.HasPrefix(detail, "there is no project ") }
