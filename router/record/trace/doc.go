// Package trace keeps what came to each service, so that it can be rehearsed with other rules: when each request arrived
// and how many tokens it took, and nothing else of it. It decides nothing and never holds a request up.
//
// It owns the files and their form. It must not know how a service is scaled.
//
// Each service has a directory below the recorder's, by its id, with segments in it: what ended in an hour at most, each
// named by the millisecond in which it was begun, 13 digits, and .trace. All numbers are little-endian:
//
//	segment  "palitrc1", base (int64: milliseconds since 1970), records
//	record   arrival (int32: milliseconds after base; before it where the request had come earlier),
//	         prompt tokens (uint32), tokens of the answer (uint32),
//	         CRC-32C (uint32) of base and of the 12 bytes in front
//
// So a record takes 16 bytes and is read or passed over by itself: one that was torn by a crash, or has rotted, costs no
// other. A segment is written by one process alone: who starts begins another.
package trace
