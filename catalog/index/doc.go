// Package index owns the catalogs that recipes come from beside the one that ships: git repositories, folders, HTTP indexes
// and archives that an owner has added; their signatures, their pins, and what changed in them. What was taken from a catalog
// is kept on the box, so that one that cannot be reached spoils only its own news, and one bad recipe spoils only itself. It
// knows nothing of how recipes are installed, nor how bytes come over a network: those are read through fetch.Source.
package index
