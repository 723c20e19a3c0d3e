package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// Cluster is what several boxes are as one. Its errors say what to do, to whoever asks: they are the owner.
type Cluster interface {
	ClusterSelf
	ClusterTokens
	// Status is how all of them are.
	Status(ctx context.Context) (api.ClusterStatus, error)
	// Approve lets a box in that waits.
	Approve(ctx context.Context, name, by string) (api.ClusterBox, error)
	// Update changes what a box may be given, or its labels.
	Update(ctx context.Context, name string, u api.ClusterBoxUpdate, by string) (api.ClusterBox, error)
	// Remove takes a box out, or refuses one that waits. force: though sessions run there, or it cannot be asked whether.
	Remove(ctx context.Context, name string, force bool, by string) error
}

// ClusterSelf is the part of the box that is asked. It works without a leader.
type ClusterSelf interface {
	Self(ctx context.Context) api.ClusterSelf
	Init(ctx context.Context, in api.ClusterInit, by string) (api.ClusterSelf, error)
	// Join returns when the other side has answered once.
	Join(ctx context.Context, in api.ClusterJoin, by string) (api.ClusterSelf, error)
	Leave(ctx context.Context, force bool, by string) (api.ClusterSelf, error)
	Rescue(ctx context.Context, by string) (api.ClusterSelf, error)
}

// ClusterTokens are what boxes join with.
type ClusterTokens interface {
	Tokens(ctx context.Context) ([]api.ClusterToken, error)
	NewToken(ctx context.Context, approve bool, uses int, lasts time.Duration, by string) (api.ClusterTokenIssued, error)
	RevokeToken(ctx context.Context, id string) error
}

// clustered is the cluster, where this daemon knows of any.
func (s *server) clustered(c *gin.Context, allowed ...string) (Cluster, error) {
	if p := query(c, allowed...); p.err != nil {
		return nil, p.err
	}
	if s.Cluster == nil {
		return nil, api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "this daemon knows of no other boxes")
	}
	return s.Cluster, nil
}

func (s *server) getCluster(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	out, err := k.Status(c.Request.Context())
	if err != nil {
		return s.ownersProblem(c, err)
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) getClusterSelf(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, k.Self(c.Request.Context()))
}

// ofSelf answers a change of the box that is asked.
func ofSelf[In any](s *server, c *gin.Context, do func(k Cluster, ctx context.Context, in In, by string) (api.ClusterSelf, error)) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	var in In
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request.Context()
	out, err := do(k, ctx, in, actorOf(ctx).Name)
	if err != nil {
		return s.ownersProblem(c, err)
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) initCluster(c *gin.Context) error { return ofSelf(s, c, Cluster.Init) }

func (s *server) joinCluster(c *gin.Context) error {
	return ofSelf(s, c, func(k Cluster, ctx context.Context, in api.ClusterJoin, by string) (api.ClusterSelf, error) {
		if refuse := s.named(ctx); refuse != nil {
			if err := refuse(hostIn(in.URL)); err != nil {
				return api.ClusterSelf{}, fmt.Errorf("%s: %w: %w", in.URL, sessions.ErrInvalid, err)
			}
		}
		return k.Join(ctx, in, by)
	})
}

func (s *server) leaveCluster(c *gin.Context) error {
	return ofSelf(s, c, func(k Cluster, ctx context.Context, in api.ClusterLeave, by string) (api.ClusterSelf, error) {
		return k.Leave(ctx, in.Force, by)
	})
}

func (s *server) rescueCluster(c *gin.Context) error {
	return ofSelf(s, c, func(k Cluster, ctx context.Context, _ struct{}, by string) (api.ClusterSelf, error) {
		return k.Rescue(ctx, by)
	})
}

func (s *server) listClusterTokens(c *gin.Context) error {
	k, err := s.clustered(c, "limit", "cursor")
	if err != nil {
		return err
	}
	items, err := k.Tokens(c.Request.Context())
	if err != nil {
		return s.ownersProblem(c, err)
	}
	return respondPage(c, query(c, "limit", "cursor"), items, func(t api.ClusterToken) string { return t.ID })
}

func (s *server) createClusterToken(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	var in api.ClusterTokenCreate
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.Uses == 0 {
		in.Uses = 1
	}
	if in.Seconds == 0 {
		in.Seconds = int(time.Hour / time.Second)
	}
	ctx := c.Request.Context()
	out, err := k.NewToken(ctx, in.Approve, in.Uses, time.Duration(in.Seconds)*time.Second, actorOf(ctx).Name)
	if err != nil {
		return s.ownersProblem(c, err)
	}
	return respond(c, http.StatusCreated, out)
}

func (s *server) revokeClusterToken(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	if err := k.RevokeToken(c.Request.Context(), c.Param("id")); err != nil {
		return s.ownersProblem(c, err)
	}
	return noContent(c)
}

func (s *server) getBox(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	status, err := k.Status(c.Request.Context())
	if err != nil {
		return s.ownersProblem(c, err)
	}
	for _, b := range status.Boxes {
		if b.Name == c.Param("name") {
			return respond(c, http.StatusOK, b)
		}
	}
	return api.NewProblem(api.KindNotFound, http.StatusNotFound, "there is no box %q", c.Param("name"))
}

func (s *server) approveBox(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	out, err := k.Approve(ctx, c.Param("name"), actorOf(ctx).Name)
	if err != nil {
		return s.ownersProblem(c, err)
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) updateBox(c *gin.Context) error {
	k, err := s.clustered(c)
	if err != nil {
		return err
	}
	var in api.ClusterBoxUpdate
	if err := decode(c, &in); err != nil {
		return err
	}
	switch in.State {
	case "", api.BoxIn, api.BoxCordoned, api.BoxDraining:
	default:
		return badField("standing", "", "%q is none of in, cordoned, draining", in.State)
	}
	ctx := c.Request.Context()
	out, err := k.Update(ctx, c.Param("name"), in, actorOf(ctx).Name)
	if err != nil {
		return s.ownersProblem(c, err)
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) removeBox(c *gin.Context) error {
	k, err := s.clustered(c, "force")
	if err != nil {
		return err
	}
	p := query(c, "force")
	force := p.flag("force")
	if p.err != nil {
		return p.err
	}
	ctx := c.Request.Context()
	if err := k.Remove(ctx, c.Param("name"), force, actorOf(ctx).Name); err != nil {
		return s.ownersProblem(c, err)
	}
	return noContent(c)
}
