// Package scan looks into the bodies of requests and answers while they pass: which model a request asks for, whether
// it wants a stream, how much an answer used. It owns the reading of JSON, of server-sent events and of multipart forms
// as far as the router needs it. It never decodes a body into a value, never keeps one, and what it allocates does not
// grow with what is sent. It knows no HTTP, no services and no tokens.
//
// Request checks the grammar of all that it is fed and finds the members that count. Answer counts tokens and events of
// an answer on its way to the client, without checking: what an engine says goes out as it is. Prompt gives the text of
// a conversation, for policies that send equal beginnings to equal places.
//
// All of them stand on marks: 64 bytes become a word with a bit for each byte that matters (marks.go). One walks from
// bit to bit, so that text costs little more than it takes to load it.
package scan
