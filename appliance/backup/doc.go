// Package backup owns the file that an appliance is kept in, apart from its box: how it is written as a stream, sealed, checked and read
// back, and the directory in which such files lie. It knows nothing of what rows mean, nor of databases, HTTP and boxes.
//
// A file is a line that says what it is, a line of JSON that says of what (Head), an age stream, and a line with the SHA-256 of all that
// is before it. In the stream is a tar, packed by zstd:
//
//	backup.json            the same Head
//	rows/TABLE/000001      a part of a table: a line with the names of its columns, then a line a row, as JSON
//	files/PART/NAME        a file, a directory or a symbolic link of a part; a hard link names a model's file by its SHA-256
//	manifest.json          how many rows, files and bytes there are, and what they come to
//
// Without a key the checksum tells that not a byte was lost or altered on the way; with it, age tells that nobody made the file who did
// not mean to, and the manifest that all is there.
package backup
