package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/training/pipeline"
)

const webhookTimeout = 15 * time.Second

// notify has sent what is still to be sent of a job's end.
func (k *Keeper) notify(ctx context.Context, j *pipeline.Job, now time.Time) {
	for i, n := range j.Notices {
		if !n.Open() || n.NextAt.After(now) || n.To >= len(j.Plan.Notify) {
			continue
		}
		to, message, id, name := j.Plan.Notify[n.To], j.Message(n.Event), j.ID, j.Name()
		k.do(ctx, id+"/notice/"+strconv.Itoa(i), func(ctx context.Context, _ <-chan struct{}) func(context.Context) {
			err := k.send(ctx, to, message)
			if ctx.Err() != nil {
				return nil
			}
			return func(ctx context.Context) {
				failed := k.edit(ctx, id, func(_ *pipeline.Job, s *pipeline.State) {
					if i < len(s.Notices) { // it may have been resumed
						s.Notices[i] = s.Notices[i].Tried(err, clock())
					}
				})
				if err != nil || failed != nil {
					k.Log.WarnContext(ctx, "a notification was not taken", "job", name, "error", errors.Join(err, failed))
				}
			}
		})
	}
}

// send posts a message. Neither the path nor the query of an address is ever told: they are its password.
func (k *Keeper) send(ctx context.Context, to pipeline.Notification, m pipeline.Message) error {
	address, client := to.URL, k.Client
	if to.URLEnv != "" {
		var there bool
		client = k.Trusted
		if address, there = k.LookupEnv(to.URLEnv); !there {
			return fmt.Errorf("the appliance's environment has no %s", to.URLEnv)
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("its address is none of a web server")
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("%s: its address cannot be asked", u.Host)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "palisade")
	resp, err := client.Do(req)
	if err != nil {
		if inner, is := errors.AsType[*url.Error](err); is { // whose text has the whole address
			err = inner.Err
		}
		return fmt.Errorf("%s: %w", u.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", u.Host, resp.Status)
	}
	return nil
}
