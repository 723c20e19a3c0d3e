// Package signature owns who is believed: signatures by minisign and cosign keys over catalogs and bundles, and the keys that
// an owner trusts.
package signature
