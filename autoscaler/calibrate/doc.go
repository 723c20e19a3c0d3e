// Package calibrate owns measuring a service on its device: load time, true memory, tokens a second, and the number of
// requests at once above which more of them only wait (the knee). It asks one route's engine itself, past the router, so that
// its requests count for nobody, and reads figures; what becomes of them is the business of others. It knows nothing of how
// routes are started, nor of who decides their number.
package calibrate
