// Package training owns interactive and batch sessions for people: their apps, idle checks and
// pipelines. It runs them through sessions' queue and runners and never talks to a runtime itself.
package training
