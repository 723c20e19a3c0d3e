// Package git fetches from git repositories over HTTP, with large files by LFS.
package git
