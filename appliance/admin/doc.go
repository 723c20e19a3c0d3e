// Package admin owns the HTTP API's way to the rooms: who asks, what was asked, strict reading of it, one call,
// and the answer in the wire's shapes. It decides nothing about services, sessions or folders, and it is never on
// the way of an inference request. It is the only room that knows gin.
package admin
