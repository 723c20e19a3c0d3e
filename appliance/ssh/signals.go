package ssh

import "golang.org/x/sys/unix"

// signalNumbers are the signals that a client may send, by the protocol's names (RFC 4254, section 6.10).
func signalNumbers() map[string]int {
	return map[string]int{
		"ABRT": int(unix.SIGABRT), "ALRM": int(unix.SIGALRM), "FPE": int(unix.SIGFPE), "HUP": int(unix.SIGHUP), "ILL": int(unix.SIGILL),
		"INT": int(unix.SIGINT), "KILL": int(unix.SIGKILL), "PIPE": int(unix.SIGPIPE), "QUIT": int(unix.SIGQUIT), "SEGV": int(unix.SIGSEGV),
		"TERM": int(unix.SIGTERM), "USR1": int(unix.SIGUSR1), "USR2": int(unix.SIGUSR2),
	}
}
