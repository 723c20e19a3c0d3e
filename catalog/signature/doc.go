// Package signature owns who is believed: signatures by minisign and cosign keys over catalogs and bundles, and how the keys
// that an owner trusts are written. What is signed it does not know: it is handed bytes, and says whose they are.
//
// A signature says who made bytes, and not what they are for: whoever signs more than one kind of document says in the
// document itself which kind it is, and its reader looks.
package signature
