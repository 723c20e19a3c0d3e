// Package holder is what holds a terminal inside a session: a process of the session's own, which outlives whoever
// watches it and the daemon, and ends with its shell or with the session. It owns the terminal, what it has shown last,
// and how those who watch it share it. It runs in whatever image a session has, as the session's user: it needs a
// writable /dev/shm or /tmp and nothing else, knows nothing of the daemon, and must stay small.
//
// Main has three parts. `terminal NAME ROWS COLUMNS` is the near end of one who watches: it starts a holder where there
// is none of that name, and then only passes bytes on, between its standard input and output and the holder's socket.
// `hold-terminal` is the holder. `tell-terminals` shows what it reads on every terminal of the session.
//
// What is passed on are frames (frame.go). Neither side trusts the other: what is under way is bounded by what the other
// has said that it took in, and a frame by MaxFrame.
package holder
