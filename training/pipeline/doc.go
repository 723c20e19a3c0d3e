// Package pipeline owns what a pipeline is: its file, the plan of a job that the file and its parameters make, what is to
// be done next for a job (Decide), when a schedule is due, and how a graph is drawn. All of it is pure: it has no clock, no
// disk and no network, and knows neither sessions nor services; its keeper does.
package pipeline
