// Package reach decides which addresses of the network may be asked on whose behalf: what a recipe, a redirect or a registry
// names may be anything, the box itself and the cloud's own doors among it. It knows nothing of what is asked there.
package reach
