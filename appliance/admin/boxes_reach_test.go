package admin_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestJoiningNamesNoDoorOfTheCloud: over the network nobody has the box ask at places where only itself may; at the box one may.
func TestJoiningNamesNoDoorOfTheCloud(t *testing.T) {
	w := newTown(t)
	const body = `{"url":"https://169.254.169.254/x","token":"pal-join.x"}`
	if a := w.as("admin", "POST", "/cluster/self/join", body); a.Code != http.StatusBadRequest || !strings.Contains(a.Body.String(), "secrets there") {
		t.Errorf("an administrator: %d %s", a.Code, a.Body)
	}
	if a := w.as("admin", "POST", "/cluster/self/join", strings.Replace(body, "169.254.169.254", "box-1.example:8443", 1)); a.Code != http.StatusOK {
		t.Errorf("another box: %d %s", a.Code, a.Body)
	}
	if a := w.as("socket", "POST", "/cluster/self/join", body); a.Code != http.StatusOK {
		t.Errorf("at the box: %d %s", a.Code, a.Body)
	}
}
