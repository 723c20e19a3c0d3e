// Package autoscaler owns how many routes a service should have, from load, rules, schedules and
// time, and the simulator of that decision. It never changes the number itself: it answers, with the
// reason, and sessions.Manager is told by the daemon's glue. It knows neither routes' addresses nor engines.
package autoscaler
