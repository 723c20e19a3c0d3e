// Package oidc owns how users are proved by a provider of OpenID Connect: where a browser is sent, what it brings back, and what
// of the provider's claims counts here. What binds both is sealed and kept by the browser. It knows nothing of cookies, of log-in
// sessions, nor of how users are kept.
package oidc
