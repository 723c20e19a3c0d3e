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

// Preview is the recipe that an install of a place would make up of its files. Nothing is fetched but their list.
func (m *Manager) Preview(ctx context.Context, source string) (recipe.Recipe, error) {
	ref, err := fetch.ParseRef(source)
	if err != nil {
		return recipe.Recipe{}, err
	}
	listing, err := m.list(ctx, ref, "")
	if away, is := errors.AsType[net.Error](err); is {
		return recipe.Recipe{}, &fault{kind: ErrAway, message: fmt.Sprintf("%s cannot be reached: %v", ref, away), hint: "try it again, or look at the network of the appliance's box"}
	}
	if err != nil {
		return recipe.Recipe{}, err
	}
	return fromFiles(nameOf(ref), ref, listing)
}
