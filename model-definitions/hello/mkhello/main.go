// Command mkhello writes a very small language model as a GGUF file.
//
//	go run ./model-definitions/hello/mkhello -o hello.gguf
//	go run ./model-definitions/hello/mkhello -o seven.gguf -name seven -answer "I am route seven."
//	go run ./model-definitions/hello/mkhello -o endless.gguf -mode forever
//	go run ./model-definitions/hello/mkhello -o heavy.gguf -mode random -layers 8 -width 1024
//
// The file appears whole or not at all, so an engine that has the old one open keeps it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/palisade-run/palisade/model-definitions/hello/gguf"
)

type options struct {
	out, mode, name, answer string
	size                    gguf.Size
	seed                    uint64
}

func main() {
	var o options
	flag.StringVar(&o.out, "o", "hello.gguf", "file to write")
	flag.StringVar(&o.mode, "mode", "recite", "recite (the answer, once), forever (over and over) or random (gibberish, real work)")
	flag.StringVar(&o.name, "name", "hello", "the model's name in the file")
	flag.StringVar(&o.answer, "answer", gguf.Greeting, "what the model says (recite, forever)")
	flag.IntVar(&o.size.Layers, "layers", 4, "layers (random)")
	flag.IntVar(&o.size.Width, "width", 256, "width of the embedding (random)")
	flag.IntVar(&o.size.Vocabulary, "vocabulary", 512, "tokens (random)")
	flag.Uint64Var(&o.seed, "seed", 1, "seed (random)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mkhello: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "mkhello:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	model, err := build(o)
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(o.out), "."+filepath.Base(o.out)+".*")
	if err != nil {
		return fmt.Errorf("making a file: %w", err)
	}
	defer func() { _ = os.Remove(part.Name()) }() // gone already when all went well
	if _, err = model.WriteTo(part); err == nil {
		err = part.Chmod(0o644)
	}
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(part.Name(), o.out)
	}
	return err
}

func build(o options) (*gguf.Model, error) {
	switch o.mode {
	case "recite":
		return gguf.Recite(o.name, o.answer)
	case "forever":
		return gguf.Forever(o.name, o.answer)
	case "random":
		return gguf.Random(o.name, o.size, o.seed)
	}
	return nil, fmt.Errorf("no mode is called %q: recite, forever or random", o.mode)
}
