// Package waiting holds requests that no route can take yet: the service is at zero, or all its routes are
// busy. A Line keeps them in order and hands over what becomes free, fairly and once.
//
// It owns the order, its bound, and how fast those who wait are let go. It must not know what a request, a
// route or a policy is: it asks each waiter's own Try.
//
// The rules:
//   - first in, first out for each token; between tokens in turn, so that one that sends much delays nobody else;
//   - who comes while others wait goes behind them: ask Waiting before a route is taken without the line;
//   - a line that is full sends away the newest of the token that has most in it, where the one who comes has
//     fewer by more than one; else the one who comes;
//   - what is handed over was really taken: Try takes it, under the line's lock, so that nothing that becomes
//     free between a look and a wait is missed, and nobody is told of something that is gone already;
//   - when routes come back from zero, and nothing else says how many requests they take, a few go at first and
//     two for each that the routes begin to answer (Pace).
package waiting
