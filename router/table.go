package router

// Service is what the router must know of one service.
type Service struct {
	ID      string
	Name    string // /services/NAME/ and the model id that always works
	Project string
	Aliases []string // other model names that mean it: what its engine calls the model
	Public  bool     // no token needed
	Routes  []Route  // those that may get traffic, and those that drain
}

// Route is one place that answers.
type Route struct {
	ID       string  // never used again for another place
	Addr     string  // host:port
	Weight   float64 // share of the traffic; 0 takes it out of the balance
	Draining bool    // finishes what it has, gets nothing new
}
