// Package local takes files and directories of the box itself.
package local
