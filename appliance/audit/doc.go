// Package audit owns the record of who changed what: entries in one chain of hashes, to which something can be added and from
// which nothing can be taken or changed unseen. It knows nothing of HTTP, of what the changes are about, nor of how rows are
// kept.
package audit
