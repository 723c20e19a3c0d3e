// Command badengine is an engine with one bad manner: badengine MODE PORT.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	mode, port := os.Args[1], os.Args[2]
	status := http.StatusOK
	switch mode {
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot load the model: bad magic")
		os.Exit(3)
	case "silent": // never opens its port
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
		return
	case "sick":
		status = http.StatusInternalServerError
	case "hang":
		http.HandleFunc("/", func(http.ResponseWriter, *http.Request) { select {} })
	case "steady":
		steady()
	case "rude":
		rude()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "flood":
		line := strings.Repeat("x", 1023) + "\n"
		for range 128 << 10 { // 128 MiB
			os.Stdout.WriteString(line)
		}
	case "fork": // a grandchild in a session of its own, whose parent is gone
		cmd := exec.Command("/bin/sh", "-c", "setsid sleep 86399 >/dev/null 2>&1 & setsid sh -c 'trap \"\" TERM; sleep 86399' >/dev/null 2>&1 &")
		if err := cmd.Run(); err != nil {
			panic(err)
		}
	}
	if mode != "hang" && mode != "rude" {
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprintln(w, mode) })
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, nil))
}
