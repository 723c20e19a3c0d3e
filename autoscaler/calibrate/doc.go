// Package calibrate owns measuring a service on its device: load time, true memory, tokens a second, and the number of
// requests at once above which more of them only wait (the knee). It asks an endpoint and reads figures; what becomes of
// them is the business of others.
package calibrate
