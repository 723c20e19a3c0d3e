package console

import (
	"net/http"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
)

// TestSessionsListOfMany: a page of many sessions has fifty rows and nothing of the others.
func TestSessionsListOfMany(t *testing.T) {
	b := newConsole(t)
	client := b.api()
	for range 2 {
		if _, err := client.CreateSession(admin.LocalPeer(t.Context(), "root"), api.SessionCreate{Image: "host", StartupCommand: "true", Array: "1-1000"}); err != nil {
			t.Fatal(err)
		}
	}
	page := b.get("/sessions?state=all&page=40", "en", http.StatusOK)
	showing(t, page, "1,951 to 2,000 of 2,000")
	if len(page) > 200<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}
