package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// scaledByOneThatFollows: what is asked of a box that does not decide wakes a service that is at zero, is in the figures of the one
// that decides, and makes more routes by a rule on what answers are like.
func scaledByOneThatFollows(t *testing.T, leads, follows *box) {
	t.Helper()
	leads.run("service", "create", "host", "voices", "0", "--name", "woken", "-r", "cpu=0.1", "--autoscale", "0..2", "--target", "tokens_per_second=1", "--hold-timeout", "2m")
	token := leads.run("service", "generate-token", "woken", "--duration", "1h", "-q")
	if err := eventually(soon, func() error { // the other one hears of the token a moment later, and of the rules, before which nothing starts a route
		_, err := say(t.Context(), follows.client(token), "woken", 50, nil)
		if err != nil && !isStatus(err, http.StatusUnauthorized) && !isStatus(err, http.StatusNotFound) && !isStatus(err, http.StatusServiceUnavailable) {
			return stop{err}
		}
		return err
	}); err != nil {
		t.Fatal("a request that waits at a box that follows:", err)
	}
	client := follows.keepAsking(t.Context(), token, "woken")
	defer func() {
		client.end()
		<-client.done
		leads.run("service", "rm", "woken")
	}()
	var live struct {
		Last60s struct {
			Requests        int     `json:"requests"`
			TokensPerSecond float64 `json:"tokens_per_second"`
			Duration        struct{ Count int }
		} `json:"last_60s"`
	}
	if err := eventually(60*time.Second, func() error {
		if err := leads.ask(http.MethodGet, "services/woken/live", struct{}{}, &live); err != nil {
			return err
		}
		if f := live.Last60s; f.Requests < 3 || f.TokensPerSecond <= 0 || f.Duration.Count == 0 {
			return fmt.Errorf("the one that decides has %+v", live)
		}
		if v := leads.service("woken"); v.Replicas != 2 {
			return fmt.Errorf("%d wanted: %s", v.Replicas, v.Sentence)
		}
		return nil
	}); err != nil {
		t.Errorf("%v\n%s", err, leads.run("service", "autoscale", "woken"))
	}
	if why := leads.decisions("woken"); len(why) == 0 || !strings.Contains(fmt.Sprint(why), "tokens") {
		t.Errorf("decided: %+v", why)
	}
}
