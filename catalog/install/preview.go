package install

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// ErrAway is a place that does not answer.
var ErrAway = errors.New("cannot be reached")

// Preview is the recipe that an install of a place would make up of its files. Nothing is fetched but their list. byHand is as in
// Wish.
func (m *Manager) Preview(ctx context.Context, source string, byHand bool) (recipe.Recipe, error) {
	ref, err := fetch.ParseRef(source)
	if err != nil {
		return recipe.Recipe{}, err
	}
	if err := ofBox(ref, byHand); err != nil {
		return recipe.Recipe{}, err
	}
	listing, err := m.list(ctx, ref, Asker{ByHand: byHand})
	if away, is := errors.AsType[net.Error](err); is {
		return recipe.Recipe{}, &fault{kind: ErrAway, message: fmt.Sprintf("%s cannot be reached: %v", ref, away), hint: "try it again, or look at the network of the appliance's box"}
	}
	if err != nil {
		return recipe.Recipe{}, err
	}
	return fromFiles(nameOf(ref), ref, listing)
}
