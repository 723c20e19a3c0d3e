package e2e_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestBundleOfContainers carries a model that runs in a container to a box which has no network: recipe, weights and the engine's
// image are in one signed file, and nothing of one that is not whole is taken.
func TestBundleOfContainers(t *testing.T) {
	const image, sentence = "example.org/llama:1", "I came in a box, with my voice."
	contained := []string{"--runtime", "containerd", "--containerd", "private"}
	dir := t.TempDir()
	key, file := filepath.Join(dir, "maker.key"), filepath.Join(dir, "speaker.bundle")

	made := newInstalling(t, contained...)
	made.run("image", "import", engineImage(t, image))
	made.commit("speaker", sentence)
	made.run("install", "speaker", "--no-calibrate")
	made.says("speaker", sentence)
	made.run("catalog", "keygen", key, "--no-password")
	made.run("bundle", "create", "speaker", "-o", file, "--key", key)
	if out := made.run("bundle", "verify", file); !strings.Contains(out, image) || !strings.Contains(out, "every byte is as it was made") {
		t.Errorf("verify says:\n%s", out)
	}
	made.run("model", "rm", "speaker", "--force")
	made.stop()

	far := &installing{box: newBox(t)}
	far.settings = contained
	far.env = append(far.env, "HF_ENDPOINT=http://127.0.0.1:1") // there is no network
	far.start()
	far.fails(1, []string{"is not trusted", "palisade catalog trust"}, "bundle", "install", file)
	far.run("catalog", "trust", key+".pub")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const cut = 5 << 20
	between := cutting(t, filepath.Join(far.dir, "palisade.sock"), cut)
	far.env = append(far.env, "PALISADE_HOST=unix://"+between.path)
	broken := filepath.Join(dir, "broken.bundle")
	for name, bytes := range map[string][]byte{"cut off": whole[:len(whole)-1000], "altered": append(append([]byte{}, whole[:len(whole)/2]...), append([]byte{^whole[len(whole)/2]}, whole[len(whole)/2+1:]...)...)} {
		if err := os.WriteFile(broken, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		far.fails(1, nil, "bundle", "install", broken)
		if images, bundles := far.run("image", "list", "-q"), far.run("bundle", "list", "-q"); images != "" || bundles != "" {
			t.Errorf("%s: images %q, bundles %q", name, images, bundles)
		}
	}
	// The connection was cut in the middle of a file, and gone on with up to the end of what was altered. Now that file is left out.
	before := between.sent.Load()
	if most := int64(len(whole) + 1<<20); before < cut || before > most {
		t.Errorf("%d bytes were sent, cut off after %d; not at most %d", before, cut, most)
	}
	far.run("bundle", "install", file, "--no-calibrate")
	if sent, most := between.sent.Load()-before, int64(len(whole)-len(made.extra)+1<<20); sent > most {
		t.Errorf("%d bytes were sent, not at most %d", sent, most)
	}
	if images := far.run("image", "list"); !strings.Contains(images, image) {
		t.Errorf("images:\n%s", images)
	}
	far.env = far.env[:len(far.env)-1]
	far.says("speaker", sentence)
	far.run("model", "verify")
	far.run("model", "rm", "speaker", "--force")
}

// wire is a socket between the command line and the daemon, which is cut through once.
type wire struct {
	path string
	sent atomic.Int64 // bytes to the daemon
}

// cutting cuts the connection by which bytes are sent, all told, for the first time.
func cutting(t *testing.T, to string, bytes int64) *wire {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "pal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &wire{path: filepath.Join(dir, "s")}
	l, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			daemon, err := net.Dial("unix", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			go func() { _, _ = io.Copy(from, daemon); _ = from.Close() }()
			go func() {
				defer daemon.Close()
				defer from.Close()
				buffer := make([]byte, 32<<10)
				for {
					n, err := from.Read(buffer)
					if before := w.sent.Load(); before < bytes && w.sent.Add(int64(n)) >= bytes || err != nil {
						return
					} else if before >= bytes {
						w.sent.Add(int64(n))
					}
					if _, err := daemon.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return w
}
