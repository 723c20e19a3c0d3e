// Package plan owns the answer to "what would an install do?": which variant on which devices, how much memory by part, what
// has to move, how long it takes, and what else would fit. It is arithmetic over plain values; nothing is fetched or run.
package plan
