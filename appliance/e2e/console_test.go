package e2e_test

import (
	"fmt"
	"testing"
)

// firstPassword is that which the first start has printed.
func (b *box) firstPassword() string {
	b.t.Helper()
	var password string
	if err := eventually(soon, func() error {
		found := printedPassword.FindStringSubmatch(b.log.String())
		if found == nil {
			return fmt.Errorf("nothing is said of the first log-in")
		}
		password = found[1]
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return password
}

// consolePages are all pages that need no more than a model that is installed, a session and a folder.
var consolePages = []struct{ path, name string }{
	{"/", "home"}, {"/services", "services"}, {"/services/hello", "service"}, {"/services/hello/connect", "connect"}, {"/services/hello/autoscaling", "autoscaling"},
	{"/services/hello/calibration", "calibration"}, {"/services/hello/revisions", "revisions"}, {"/services/hello/events", "service-events"}, {"/services/hello/captures", "captures"},
	{"/services/hello/settings", "service-settings"}, {"/services/hello/logs", "service-logs"}, {"/services/new", "service-new"}, {"/playground", "playground"}, {"/models", "models"},
	{"/models/hello", "model"}, {"/catalog", "catalog"}, {"/catalog/hello", "recipe"}, {"/catalogs", "catalogs"}, {"/installs", "installs"}, {"/sessions", "sessions"},
	{"/sessions/new", "session-new"}, {"/sessions/desk", "session"}, {"/pipelines", "pipelines"}, {"/pipelines/drawn", "pipeline"}, {"/pipelines/new", "pipeline-new"}, {"/folders", "folders"},
	{"/folders/papers/files/", "folder"}, {"/folders/papers", "folder-about"}, {"/folders/papers/files/note.txt", "file"}, {"/folders/papers/edit/model-definition.yaml", "editor"},
	{"/accelerators", "accelerators"}, {"/images", "images"}, {"/tokens", "tokens"}, {"/usage", "usage"}, {"/usage/sessions", "usage-sessions"},
	{"/users", "users"}, {"/users/vera", "user"}, {"/projects", "projects"}, {"/projects/default", "project"},
	{"/audit", "audit"}, {"/profile", "profile"}, {"/settings", "settings"}, {"/updates", "updates"}, {"/backups", "backups"}, {"/boxes", "boxes"}, {"/about", "about"},
}

// TestConsole is an owner's first hour in a browser.
func TestConsole(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.programs(map[string]string{"tensorboard": `mkdir -p "/tmp/www$PALISADE_APP_BASE"; echo "<title>evil</title><h1>evil</h1>" >"/tmp/www${PALISADE_APP_BASE}index.html"
exec busybox httpd -f -p "127.0.0.1:$PALISADE_APP_PORT" -h /tmp/www`})
	b.start()
	password := b.firstPassword()
	vera := b.run("user", "create", "vera", "-q")
	b.run("project", "member", "add", "default", "vera", "--role", "viewer")
	rd := b.newReader()
	step := func(name string, do func()) {
		t.Run(name, func(t *testing.T) {
			rd.t = t
			do()
		})
	}
	step("log-in", func() {
		rd.open("/services")
		rd.see("#password")
		rd.write("#name", "admin")
		rd.write("#password", "not this one")
		rd.send("#password")
		rd.reads(".alert", "wrong")
		rd.forgive() // the browser notes the status 401
		rd.examine("/login", "login")
		rd.logIn("admin", password)
		rd.reads("h1", "Home")
		rd.content("log-in")
	})
	step("install", rd.installs)
	step("chat", rd.chats)
	var token string
	step("token", func() { token = rd.token() })
	step("scale", rd.scales)
	b.run("session", "create", "host", "--name", "desk", "--wait")
	b.run("folder", "create", "papers")
	b.run("folder", "cp", b.file("note.txt", "one\ntwo\n"), "papers:/note.txt")
	b.run("folder", "cp", b.file("model-definition.yaml", evilEngine), "papers:/model-definition.yaml")
	step("compare", rd.compares)
	step("upload", rd.uploads)
	step("drop", rd.drops)
	step("editor", rd.edits)
	step("pipeline", rd.pipes)
	step("terminal", rd.terminal)
	for _, p := range consolePages {
		step(p.name, func() { rd.examine(p.path, p.name) })
	}
	step("Korean", rd.inKorean)
	step("pages of others", rd.strangers)
	step("secrets", func() { rd.keepsSecrets(password, chosenPassword, token) })
	step("log-out", rd.leavesForGood)
	step("a viewer", func() { rd.looksOn(vera) })
}
