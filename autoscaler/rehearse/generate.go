package rehearse

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Kind is a shape of demand.
type Kind string

// The kinds of demand.
const (
	Steady        Kind = "steady"         // chance alone makes it more or less
	Spiky         Kind = "spiky"          // now and then several times as much, for some minutes, from one moment to the next
	Diurnal       Kind = "diurnal"        // a day: most in the afternoon, least before the morning
	PoissonBursts Kind = "poisson-bursts" // bursts of seconds, as from programs that ask much at once
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Steady, Spiky, Diurnal, PoissonBursts} }

// Recipe is how a trace is made. The same recipe makes the same trace.
type Recipe struct {
	Kind     Kind
	Requests int           // 0: as many as the kind's shipped trace has
	Length   time.Duration // 0: as long as that is
	Prompt   float64       // tokens on average; 0: 1200
	Output   float64       // tokens on average; 0: 300
	Seed     uint64
}

// shippedSeed makes the traces that are known by their names.
const shippedSeed = 1

// Shipped makes the trace that is known by the name of its kind.
func Shipped(kind Kind) (*Trace, error) { return Generate(Recipe{Kind: kind, Seed: shippedSeed}) }

// fill sets what is not said.
func (r *Recipe) fill() {
	requests, length := 24_000, 2*time.Hour
	switch r.Kind {
	case Spiky:
		requests, length = 36_000, 4*time.Hour
	case Diurnal:
		requests, length = 240_000, 24*time.Hour
	case Steady, PoissonBursts:
	}
	if r.Requests == 0 {
		r.Requests = requests
	}
	if r.Length == 0 {
		r.Length = length
	}
	if r.Prompt == 0 {
		r.Prompt = 1200
	}
	if r.Output == 0 {
		r.Output = 300
	}
}

func (r *Recipe) check() error {
	var all []error
	bad := func(when bool, field string, value any, want string) {
		if when {
			all = append(all, fmt.Errorf("%w: %s %v: must be %s", ErrTrace, field, value, want))
		}
	}
	within := func(v, least, most float64) bool { return v >= least && v <= most }
	bad(r.Requests < 1 || r.Requests > MaxRequests, "requests", r.Requests, fmt.Sprintf("from 1 to %d", MaxRequests))
	bad(r.Length < time.Minute || r.Length > MaxLength, "length", r.Length, fmt.Sprintf("from 1m to %s", MaxLength))
	bad(!within(r.Prompt, 1, 1e6), "prompt", r.Prompt, "from 1 to 1000000")
	bad(!within(r.Output, 1, 1e6), "output", r.Output, "from 1 to 1000000")
	return errors.Join(all...)
}

// Generate makes a trace. How much comes in each second is drawn first, from the kind; then the requests are strewn over
// that as chance does it, and each gets its tokens: a few are many times as long as most.
func Generate(r Recipe) (*Trace, error) {
	r.fill()
	chance := rand.New(rand.NewPCG(r.Seed, 0x7472616365))
	var shape func(*rand.Rand, int) []float64
	switch r.Kind {
	case Steady:
		shape = steady
	case Spiky:
		shape = spiky
	case Diurnal:
		shape = diurnal
	case PoissonBursts:
		shape = bursts
	default:
		return nil, fmt.Errorf("%w: %q is no kind of trace; there are %v", ErrTrace, r.Kind, Kinds())
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &Trace{Name: string(r.Kind), Start: Monday(), Requests: strew(chance, shape(chance, int(r.Length/time.Second)), &r)}, nil
}

// strew puts requests where seconds have weight: gaps are exponential in the weight that lies between them.
func strew(chance *rand.Rand, weights []float64, r *Recipe) []Request {
	all := make([]Request, r.Requests)
	places, sum := make([]float64, r.Requests), 0.0
	for i := range places {
		sum += chance.ExpFloat64()
		places[i] = sum
	}
	sum += chance.ExpFloat64()
	weight := 0.0
	for _, w := range weights {
		weight += w
	}
	second, before := 0, 0.0
	for i, place := range places {
		place *= weight / sum
		for second < len(weights)-1 && before+weights[second] < place {
			before += weights[second]
			second++
		}
		at := float64(second) + min((place-before)/weights[second], 1)
		all[i] = Request{
			At:     time.Duration(at*1000) * time.Millisecond,
			Prompt: tokens(chance, r.Prompt, 1), Output: tokens(chance, r.Output, 0.8),
		}
	}
	return all
}

// tokens are spread by the logarithm, around the mean.
func tokens(chance *rand.Rand, mean, sigma float64) int32 {
	v := mean * math.Exp(sigma*chance.NormFloat64()-sigma*sigma/2)
	return int32(min(max(math.Round(v), 1), 20*mean))
}

func steady(_ *rand.Rand, seconds int) []float64 {
	out := make([]float64, seconds)
	for i := range out {
		out[i] = 1
	}
	return out
}

// spiky is even, with a spike every half hour or so: three to seven times as much for one to eight minutes.
func spiky(chance *rand.Rand, seconds int) []float64 {
	out := steady(chance, seconds)
	for at := 300 + chance.IntN(600); at < seconds; at += 900 + chance.IntN(1800) {
		high, long := 3+4*chance.Float64(), 60+chance.IntN(420)
		for i := at; i < min(at+long, seconds); i++ {
			out[i] = high
		}
	}
	return out
}

// diurnal rises from 5:00 on, dips at noon, is highest at 15:00, and falls until the night; what chance adds comes and goes in
// a quarter of an hour. A trace that is not a day long is that, pressed or repeated: a day is never longer than the trace.
func diurnal(chance *rand.Rand, seconds int) []float64 {
	day := min(float64(seconds), 86400)
	bump := func(hour, at, wide float64) float64 {
		d := math.Abs(hour - at)
		d = min(d, 24-d)
		return math.Exp(-d * d / (2 * wide * wide))
	}
	out, noise := make([]float64, seconds), 0.0
	const memory = 900
	for i := range out {
		hour := math.Mod(float64(i), day) / day * 24
		noise += -noise/memory + math.Sqrt(2.0/memory)*chance.NormFloat64()
		out[i] = (0.1 + bump(hour, 10.5, 2.2) + 1.1*bump(hour, 15.5, 2.6) + 0.4*bump(hour, 20.5, 1.8)) * math.Exp(0.12*noise)
	}
	return out
}

// bursts come at random, once a minute on average, for 2 to 20 seconds, with ten times as much.
func bursts(chance *rand.Rand, seconds int) []float64 {
	out := steady(chance, seconds)
	for at := chance.ExpFloat64() * 60; int(at) < seconds; at += 1 + chance.ExpFloat64()*60 {
		for i, long := int(at), 2+chance.IntN(19); i < min(int(at)+long, seconds); i++ {
			out[i] = 10
		}
	}
	return out
}
