package runtimetest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/sessions"
)

// Act is one thing that a program of the suite does. A program does its acts in turn and, when none is
// left, completes.
type Act struct {
	Verb string // print, exit, forever, ignore-term, on-term, crash
	Arg  string
}

// Print writes a line.
func Print(line string) Act { return Act{"print", line} }

// ExitWith ends with code.
func ExitWith(code int) Act { return Act{"exit", strconv.Itoa(code)} }

// Forever runs until a signal ends it.
func Forever() Act { return Act{Verb: "forever"} }

// IgnoreTerm makes SIGTERM do nothing.
func IgnoreTerm() Act { return Act{Verb: "ignore-term"} }

// OnTerm makes SIGTERM print line and end with code.
func OnTerm(line string, code int) Act { return Act{"on-term", strconv.Itoa(code) + " " + line} }

// Crash ends by SIGSEGV.
func Crash() Act { return Act{Verb: "crash"} }

// Script says acts in the language of sh. A program is ready for signals once it has printed a line.
func Script(acts ...Act) string {
	var b strings.Builder
	for _, a := range acts {
		switch a.Verb {
		case "print":
			fmt.Fprintf(&b, "echo %s\n", quote(a.Arg))
		case "exit":
			fmt.Fprintf(&b, "exit %s\n", a.Arg)
		case "forever":
			b.WriteString("while :; do sleep 1000 & wait $!; done 2>/dev/null\n") // a shell tells of the sleep's end
		case "ignore-term":
			b.WriteString("trap '' TERM\n")
		case "on-term":
			code, line, _ := strings.Cut(a.Arg, " ")
			fmt.Fprintf(&b, "trap %s TERM\n", quote(fmt.Sprintf("echo %s; exit %s", quote(line), code)))
		case "crash":
			b.WriteString("kill -SEGV $$\n")
		}
	}
	return b.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const fakeProgram = "fake-program"

// Argv says acts in the words that Fake understands.
func Argv(acts ...Act) []string {
	argv := []string{fakeProgram}
	for _, a := range acts {
		argv = append(argv, a.Verb, a.Arg)
	}
	return argv
}

// program returns b with what the first process's argv says, when it is one of Argv's.
func program(spec sessions.Spec, b Behaviour) Behaviour {
	argv := spec.Processes[0].Argv
	if len(argv) == 0 || argv[0] != fakeProgram {
		return b
	}
	ended := false
	for i := 1; i+1 < len(argv) && !ended; i += 2 {
		switch verb, arg := argv[i], argv[i+1]; verb {
		case "print":
			b.Log = append(b.Log, arg)
		case "exit":
			b.Exit, ended = new(exitOf(arg)), true
		case "forever":
			ended = true
		case "ignore-term":
			b.IgnoreTerm = true
		case "on-term":
			code, line, _ := strings.Cut(arg, " ")
			e := exitOf(code)
			b.TermLog = append(b.TermLog, line)
			e.Reason = sessions.ExitStopped
			b.TermExit = &e
		case "crash":
			b.Exit, ended = &sessions.Exit{Reason: sessions.ExitCrashed, Code: 139, Signal: "SIGSEGV", Message: "It crashed: SIGSEGV."}, true
		}
	}
	if !ended {
		b.Exit = new(exitOf("0"))
	}
	return b
}

func exitOf(code string) sessions.Exit {
	n, _ := strconv.Atoi(code)
	if n == 0 {
		return sessions.Exit{Reason: sessions.ExitCompleted, Message: "It has ended by itself."}
	}
	return sessions.Exit{Reason: sessions.ExitFailed, Code: n, Message: fmt.Sprintf("It ended with exit code %d.", n)}
}
