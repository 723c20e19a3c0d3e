package pid1

import (
	"context"
	"fmt"
	"net"
	"os"
)

// EnvSocket tells a process that is given a socket that it is: "1". The socket is descriptor 3, as it is with systemd.
const EnvSocket = "LISTEN_FDS"

// listen opens the sockets that processes are to be given, by their places. One that cannot be opened is left out: the process tries
// by itself, and says why it cannot.
func (c *Crew) listen() map[int]*os.File {
	sockets := map[int]*os.File{}
	for i, p := range c.Processes {
		if p.Socket == 0 {
			continue
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", fmt.Sprintf(":%d", p.Socket))
		if err != nil {
			continue
		}
		if tcp, ok := l.(*net.TCPListener); ok {
			if f, err := tcp.File(); err == nil {
				sockets[i] = f
			}
		}
		l.Close() // the copy keeps it open
	}
	return sockets
}
