// Package modeldefinitions owns the recipes that come with Palisade: one folder each, with its definition
// and a page for people. It is data; what a recipe means is catalog's business.
package modeldefinitions

import "embed"

// Files holds NAME/model-definition.yaml and NAME/README.md of every recipe.
//
//go:embed */model-definition.yaml */README.md
var Files embed.FS
