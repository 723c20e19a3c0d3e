// Package index owns the catalogs that recipes come from: the one that ships, folders, git repositories and HTTP indexes that
// an owner has added, their pins and what changed in them. One bad recipe spoils only itself, and one catalog that cannot be
// reached only its own news.
package index
