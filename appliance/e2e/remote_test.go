package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestFromElsewhere uses the appliance as from another machine: over TCP, with an API key.
func TestFromElsewhere(t *testing.T) {
	b := newBox(t)
	b.start()
	key := b.run("key", "create", "laptop")
	local := b.env
	b.env = append(slices.Clone(local), "PALISADE_HOST="+b.url)
	b.fails(1, []string{"key"}, "service", "list")
	b.env = append(b.env, "PALISADE_KEY="+key)
	if out := b.run("service", "list", "-q"); out != "" {
		t.Errorf("%q", out)
	}
	b.env = local
	b.run("key", "revoke", "laptop")
	b.env = append(slices.Clone(local), "PALISADE_HOST="+b.url, "PALISADE_KEY="+key)
	b.fails(1, []string{"revoked"}, "service", "list")
	b.env = local

	for path, want := range map[string]int{
		"/": 200, "/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/models": 401, "/nothing": 404,
		"/api/v1/services": 401, "/api/v1/openapi.yaml": 401, "/api/v1/keys": 401,
	} {
		resp, err := http.Get(b.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %s, want %d", path, resp.Status, want)
		}
	}
}

// TestWhatASessionSees holds the walls: the model folder cannot be written, the appliance's data cannot be seen, and
// neither its port nor other sessions can be reached.
func TestWhatASessionSees(t *testing.T) {
	b := newBox(t)
	b.start()
	b.folder("spy", `
models:
  - name: spy
    service:
      pre_start_actions:
        - action: run_command
          args:
            echo: true
            ignore_error: true
            command:
              - /bin/bash
              - -c
              - |
                touch /models/x 2>/dev/null && echo "WROTE the model folder"
                ls DATA/palisade.db 2>/dev/null && echo "SAW the data"
                (exec 3<>/dev/tcp/GATEWAY) 2>/dev/null && echo "REACHED the appliance"
                touch /usr/bin/x 2>/dev/null && echo "WROTE the box"
                env | grep -c SECRET_OF_THE_DAEMON
                echo "looked"
      start_command: [/models/badengine, fine, "{ports[0]}"]
      port: 8000
`, map[string]string{"badengine": have.badengine})
	definition := strings.NewReplacer("DATA", b.dir, "GATEWAY", strings.ReplaceAll(strings.TrimPrefix(b.url, "http://"), ":", "/"))
	b.rewrite("spy", definition)
	b.run("service", "create", "host", "spy", "1", "--name", "spy", "--wait")
	log := b.run("service", "logs", "spy")
	if !strings.Contains(log, "looked") {
		t.Fatalf("the session did not look: %s", log)
	}
	for _, bad := range []string{"WROTE", "SAW", "REACHED"} {
		if strings.Contains(log, bad) {
			t.Errorf("%s", log)
		}
	}
}
