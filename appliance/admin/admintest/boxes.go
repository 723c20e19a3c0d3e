package admintest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// Boxes is a cluster without boxes: this one is alone until it is told otherwise. Each token that is made brings a box that asks to
// be let in: box-2, box-3 and so on. What a join comes to its URL's host says: "waits", "away", or else in at once.
type Boxes struct {
	mu     sync.Mutex
	self   api.ClusterSelf
	asked  int // times that Self was asked while it joins
	boxes  []api.ClusterBox
	tokens []api.ClusterToken
	next   int
}

func newBoxes() *Boxes { return &Boxes{self: api.ClusterSelf{State: api.ClusterAlone}, next: 2} }

// began is when boxes joined.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hinting is an error with advice.
type hinting struct {
	error
	hint string
}

// Hint says what to do.
func (h hinting) Hint() string { return h.hint }

func (h hinting) Unwrap() error { return h.error }

func (b *Boxes) in() error {
	if b.self.State != api.ClusterIn {
		return hinting{trust.ErrNoIdentity, "palisade cluster init, or palisade join URL TOKEN"}
	}
	return nil
}

// Self implements admin.ClusterSelf. Who waits is let in once it was asked for a third time.
func (b *Boxes) Self(context.Context) api.ClusterSelf {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.self.State == api.ClusterJoining && b.self.Waiting {
		if b.asked++; b.asked > 2 {
			b.enter(b.self.Name, false)
		}
	}
	return b.self
}

func (b *Boxes) enter(name string, leads bool) {
	if name == "" {
		name = "box-1"
	}
	at := began
	b.self = api.ClusterSelf{State: api.ClusterIn, Name: name, Cluster: "4f0c5d2e9a7b1836", Address: "10.0.0.1:8480", Leads: leads, Leader: "box-1", Since: &at}
	if !slices.ContainsFunc(b.boxes, func(x api.ClusterBox) bool { return x.Name == name }) {
		b.boxes = append(b.boxes, api.ClusterBox{
			Name: name, State: api.BoxIn, Address: "10.0.0.1:8480", Version: "v1.4.0", Leads: leads, Alive: true, Devices: 8, DevicesFree: 3, Sessions: 4, JoinedAt: &at,
		})
	}
}

// Init implements admin.ClusterSelf.
func (b *Boxes) Init(_ context.Context, in api.ClusterInit, _ string) (api.ClusterSelf, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case in.Name == "sqlite":
		return api.ClusterSelf{}, hinting{errors.New("the database is a file of this box alone, and several boxes need one that all of them reach"), "palisade database move --to postgres://USER:PASSWORD@HOST/NAME"}
	case b.self.State != api.ClusterAlone:
		return api.ClusterSelf{}, hinting{fmt.Errorf("this box is in a cluster already: %w", trust.ErrTaken), "see it with: palisade cluster status"}
	}
	b.enter(in.Name, true)
	return b.self, nil
}

// Join implements admin.ClusterSelf.
func (b *Boxes) Join(_ context.Context, in api.ClusterJoin, _ string) (api.ClusterSelf, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !strings.HasPrefix(in.Token, "pal-join.") {
		return api.ClusterSelf{}, hinting{fmt.Errorf("a join token: %w: it does not begin with pal-join", trust.ErrInvalid), "copy the whole of what palisade cluster token printed"}
	}
	at := began
	b.asked = 0
	b.self = api.ClusterSelf{State: api.ClusterJoining, Name: in.Name, Asks: in.URL, Key: "k7q2m4xw", Since: &at}
	switch {
	case strings.Contains(in.URL, "waits"):
		b.self.Waiting = true
	case strings.Contains(in.URL, "away"):
		b.self.Problem, b.self.Hint = in.URL+": it cannot be reached: nobody listens there", "is palisade running there?"
	default:
		b.enter(in.Name, false)
	}
	return b.self, nil
}

// Leave implements admin.ClusterSelf.
func (b *Boxes) Leave(_ context.Context, force bool, _ string) (api.ClusterSelf, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.self.State == api.ClusterAlone {
		return api.ClusterSelf{}, b.in()
	}
	if b.self.Leads && len(b.boxes) > 1 && !force {
		return api.ClusterSelf{}, hinting{errors.New("4 sessions run on this box"), "palisade cluster drain " + b.self.Name + " moves them first; --force ends them"}
	}
	b.self = api.ClusterSelf{State: api.ClusterAlone}
	return b.self, nil
}

// Rescue implements admin.ClusterSelf.
func (b *Boxes) Rescue(context.Context, string) (api.ClusterSelf, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.self, b.in()
}

// Tokens implements admin.ClusterTokens.
func (b *Boxes) Tokens(context.Context) ([]api.ClusterToken, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.tokens), b.in()
}

// NewToken implements admin.ClusterTokens.
func (b *Boxes) NewToken(_ context.Context, approve bool, uses int, lasts time.Duration, by string) (api.ClusterTokenIssued, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.in(); err != nil {
		return api.ClusterTokenIssued{}, err
	}
	if uses > 1000 {
		return api.ClusterTokenIssued{}, hinting{fmt.Errorf("a token for %d uses: %w: 1 to 1000", uses, trust.ErrInvalid), "say how many boxes may join with it: --uses 3"}
	}
	id := fmt.Sprintf("token%03d", b.next)
	t := api.ClusterToken{ID: id, Approve: approve, Uses: uses, ExpiresAt: time.Now().Add(lasts).UTC(), CreatedAt: time.Now().UTC(), CreatedBy: by}
	b.tokens = append(b.tokens, t)
	b.ask(approve)
	return api.ClusterTokenIssued{ID: t.ID, Approve: approve, Uses: uses, ExpiresAt: t.ExpiresAt, Token: "pal-join." + id + ".SECRET.FINGERPRINT", URL: "https://10.0.0.1:8480"}, nil
}

func (b *Boxes) ask(approved bool) {
	at := began
	one := api.ClusterBox{Name: fmt.Sprintf("box-%d", b.next), State: api.BoxWaiting, Address: fmt.Sprintf("10.0.0.%d:8480", b.next), Version: "v1.4.0", AskedFrom: fmt.Sprintf("10.0.0.%d", b.next), Key: "k7q2m4xw"}
	b.next++
	if approved {
		one.State, one.Alive, one.JoinedAt, one.AskedFrom, one.Key, one.Devices, one.DevicesFree = api.BoxIn, true, &at, "", "", 8, 8
	}
	b.boxes = append(b.boxes, one)
}

// RevokeToken implements admin.ClusterTokens.
func (b *Boxes) RevokeToken(_ context.Context, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.tokens, func(t api.ClusterToken) bool { return t.ID == id })
	if i < 0 {
		return fmt.Errorf("token %s: %w", id, trust.ErrNotFound)
	}
	b.tokens = slices.Delete(b.tokens, i, i+1)
	return nil
}

// Status implements admin.Cluster.
func (b *Boxes) Status(context.Context) (api.ClusterStatus, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.in(); err != nil {
		return api.ClusterStatus{}, err
	}
	out := api.ClusterStatus{ID: b.self.Cluster, Leader: "box-1", Term: 7, Boxes: slices.Clone(b.boxes), Members: []api.ClusterMember{}, Next: []string{}}
	for _, x := range b.boxes {
		if x.State == api.BoxWaiting {
			out.Next = append(out.Next, x.Name+" waits to be let in: palisade cluster approve "+x.Name)
		}
	}
	out.Members = append(out.Members, api.ClusterMember{Box: "box-1", Leads: true, Answers: true, Size: 3 << 20, Quota: 2 << 30, Version: "3.7.3"})
	out.Quorum = api.ClusterQuorum{Votes: 1, Answer: 1, Needed: 1, Words: "One member: the cluster stands still when it fails.", Agreed: true}
	return out, nil
}

func (b *Boxes) find(name string) (*api.ClusterBox, error) {
	i := slices.IndexFunc(b.boxes, func(x api.ClusterBox) bool { return x.Name == name })
	if err := b.in(); err != nil || i < 0 {
		return nil, hinting{fmt.Errorf("box %s: %w", name, trust.ErrNotFound), "see which ones there are: palisade cluster status"}
	}
	return &b.boxes[i], nil
}

// Approve implements admin.Cluster.
func (b *Boxes) Approve(_ context.Context, name, _ string) (api.ClusterBox, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, err := b.find(name)
	if err != nil {
		return api.ClusterBox{}, err
	}
	at := began
	x.State, x.Alive, x.JoinedAt, x.AskedFrom, x.Key = api.BoxIn, true, &at, "", ""
	return *x, nil
}

// Update implements admin.Cluster.
func (b *Boxes) Update(_ context.Context, name string, u api.ClusterBoxUpdate, _ string) (api.ClusterBox, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, err := b.find(name)
	if err != nil {
		return api.ClusterBox{}, err
	}
	if u.State != "" {
		x.State = u.State
	}
	for k, v := range u.Labels {
		switch {
		case v == nil:
			delete(x.Labels, k)
		case x.Labels == nil:
			x.Labels = map[string]string{k: *v}
		default:
			x.Labels[k] = *v
		}
	}
	return *x, nil
}

// Remove implements admin.Cluster.
func (b *Boxes) Remove(_ context.Context, name string, force bool, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, err := b.find(name)
	if err != nil {
		return err
	}
	if x.Sessions > 0 && !force {
		return hinting{fmt.Errorf("%d sessions run on %s", x.Sessions, name), "palisade cluster drain " + name + " moves them first; --force gives them up"}
	}
	b.boxes = slices.DeleteFunc(b.boxes, func(x api.ClusterBox) bool { return x.Name == name })
	return nil
}
