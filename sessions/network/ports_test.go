package network

import "testing"

func TestListenerInode(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
`
	for port, want := range map[int]string{8080: "4711", 8081: "", 1: ""} {
		if got := listenerInode(table, port); got != want {
			t.Errorf("port %d: %q", port, got)
		}
	}
}
