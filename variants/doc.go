// Package variants owns how an engine is started and watched: it turns a runtime variant, a model
// definition and the owner's environment into a LaunchSpec. Everything that differs between engines
// is data in one table. It is pure: it reads what it is given and starts nothing.
package variants
