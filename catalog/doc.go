// Package catalog owns what can be run: model definitions (model-definition.yaml), model folders,
// and later recipes and installs. It knows nothing of how an engine is started (variants), of what
// runs (sessions) or of how requests find it (router).
package catalog
