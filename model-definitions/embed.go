// Package modeldefinitions owns the recipes that come with Palisade: one folder each, with its definition
// and a page for people. It is data; what a recipe means is catalog's business.
package modeldefinitions

import "embed"

// Files holds NAME/recipe.yaml of every recipe, and NAME/README.md, NAME/model-definition.yaml and NAME/icon.svg where it has them.
//
//go:embed */recipe.yaml */model-definition.yaml */README.md */icon.svg
var Files embed.FS
