package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLimitsOfSeveralBoxes: boxes count limits in one Redis: of one request a minute the second is refused wherever it lands. When
// Redis is killed each goes on with its share, and says so; when it is back they count together again.
func TestLimitsOfSeveralBoxes(t *testing.T) {
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	var redis *exec.Cmd
	start := func() {
		redis = exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
		redis.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := redis.Start(); err != nil {
			t.Fatalf("%v: .ci/deps test installs it", err)
		}
	}
	kill := func() { _ = redis.Process.Kill(); _ = redis.Wait() }
	start()
	t.Cleanup(func() { kill() })
	// This machine may be busy: what is slow is not what is tested.
	boxes := newBoxesWith(t, fmt.Sprintf("redis: {url: \"unix://%s\", bound: 1s}\n", socket), "one", "two", "three")
	one, two := boxes["one"], boxes["two"]
	one.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	one.run("service", "create", "host", "voices", "3", "--name", "voices", "-r", "cpu=0.1", "--wait")
	token := func(rpm string) string {
		return one.run("service", "generate-token", "voices", "--duration", "1h", "--rpm", rpm, "-q")
	}
	single, shared := token("1"), token("4")
	counts := func(how string) {
		t.Helper()
		for _, b := range []*box{one, two} {
			if err := eventually(60*time.Second, func() error {
				out, errText, _ := b.cli("doctor")
				if !strings.Contains(out+errText, how) {
					return fmt.Errorf("not %q: %s%s", how, out, errText)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// ask is the status of an answer of a box; one that has not heard of a token yet is asked again.
	ask := func(b *box, token string) (status int, text string) {
		t.Helper()
		if err := eventually(soon, func() error {
			r, err := http.NewRequest(http.MethodPost, b.url+"/v1/chat/completions", strings.NewReader(`{"model":"voices","max_tokens":1,"messages":[{"role":"user","content":"?"}]}`))
			if err != nil {
				return stop{err}
			}
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return stop{err}
			}
			defer answer.Body.Close()
			var body strings.Builder
			if err := answer.Write(&body); err != nil {
				return stop{err}
			}
			if status, text = answer.StatusCode, body.String(); status == http.StatusUnauthorized {
				return errors.New(text)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return status, text
	}
	counts("counted together in Redis by 3 processes")
	began := time.Now()
	var got []int
	for _, b := range []*box{two, one, two} {
		status, _ := ask(b, single)
		got = append(got, status)
	}
	if want := []int{200, 429, 429}; !slices.Equal(got, want) && time.Since(began) < time.Minute {
		t.Errorf("of one request a minute come %v, want %v", got, want)
	}

	kill()
	counts("counted by this box alone")
	began = time.Now()
	for _, b := range []*box{one, two} { // of four a minute each of three has two
		got, said := []int(nil), ""
		for range 3 {
			var status int
			status, said = ask(b, shared)
			got = append(got, status)
		}
		if want := []int{200, 200, 429}; !slices.Equal(got, want) || !strings.Contains(said, "3 boxes count apart") {
			t.Errorf("of its share of four come %v, want %v: %s", got, want, said)
		}
	}
	start()
	counts("counted together in Redis by 3 processes")
	for _, b := range []*box{one, two} {
		if status, said := ask(b, shared); (status != http.StatusTooManyRequests || strings.Contains(said, "count apart")) && time.Since(began) < time.Minute {
			t.Errorf("what was let in apart is not counted: %d %s", status, said)
		}
	}
}
