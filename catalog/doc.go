// Package catalog owns what can be run: what a model definition (model-definition.yaml) says, and the folders that
// sessions mount, with who may see and fill them and what they may hold. Recipes, where their files come from, and
// installs are the packages below it. It knows nothing of how an engine is started (variants), of what runs (sessions)
// or of how requests find it (router).
package catalog
