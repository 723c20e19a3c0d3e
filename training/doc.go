// Package training owns what people run for themselves: interactive and batch sessions. It turns a person's wish into
// requests to the queue, checked as a whole and at once. It runs nothing itself: the queue and the runners of sessions
// do, and it never talks to a runtime.
package training
