// Package catalog owns what a model definition says: model-definition.yaml, where it lies in a folder, and every complaint about it
// with its line. The folders themselves, recipes, where their files come from, and installs are the packages below it. It knows
// nothing of how an engine is started (variants), of what runs (sessions) or of how requests find it (router).
package catalog
