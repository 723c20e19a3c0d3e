// Package fetch owns how a model's files come to the box: where they are (a Ref), what there is (a Listing), and the way
// of their bytes, in parallel, gone on with after a crash, and verified while they stream. One package beside it knows each
// kind of place; this one knows none of them. It knows nothing of recipes, services or engines.
package fetch
