// Package figures owns what jobs say of themselves while they train: the lines of JSON that a session appends to the file
// that PALISADE_METRICS names, read (Parse), folded into a series for each name (Fold), and found, opened and followed (Keep).
//
// Everything in that file, its kind and its size too, is whatever the session likes: nothing here follows a link out of the
// session's directory, waits for a pipe, or takes more memory for more lines or names. It knows no HTTP and draws nothing.
package figures
