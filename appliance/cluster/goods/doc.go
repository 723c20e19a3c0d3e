// Package goods owns how the files of folders come to the boxes of a cluster that need them: which version of a folder a box
// has, by the checksums of its files; from which box what is missing is brought, in ranges, gone on with after a crash, and
// verified while it comes; and what another box may do with files that have their home here. Who asks, and over which
// connection, is the door's. It decides nothing about where sessions run.
package goods
