// Package signals owns how the autoscaler's metrics come together: it reads the pages that engines show their figures on,
// asks a Prometheus server, takes in what it is told of the router and of containers, and keeps the last minutes of what
// the services' rules want as series. What engines call things is data: table.go.
//
// What is not there is not there: no sample stands for a route that did not answer, for a name that a page does not have,
// or for a value that is no number. It decides nothing, and knows neither policies nor sessions nor the router.
package signals
