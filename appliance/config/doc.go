// Package config owns the appliance's one settings file: its fields, their defaults, how it is read and what
// can be wrong with it. It opens nothing that the file names and starts nothing; what a room makes of its
// part is that room's business.
package config
