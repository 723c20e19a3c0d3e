package e2e_test

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// picture keeps what is shown, with few colours: it is for looking at, in a repository.
func (rd *reader) picture(name string) {
	rd.t.Helper()
	if *screenshots == "" {
		return
	}
	var shot []byte
	var small bytes.Buffer
	rd.do(chromedp.CaptureScreenshot(&shot))
	full, err := png.Decode(bytes.NewReader(shot))
	if err == nil {
		err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, fewColours(full, 64))
	}
	if err == nil {
		err = os.MkdirAll(*screenshots, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name+".png"), small.Bytes(), 0o644)
	}
	if err != nil {
		rd.t.Fatal(err)
	}
}

// shade is a colour of a picture, and how often it is there.
type shade struct {
	color.RGBA
	n int
}

func (s shade) part(i int) int { return int([3]uint8{s.R, s.G, s.B}[i]) }

// shades are those that one colour is to stand for.
type shades []shade

// spread is the part of the colour in which they differ most, and by how much.
func (b shades) spread() (part, most int) {
	for i := range 3 {
		low, high := 255, 0
		for _, s := range b {
			low, high = min(low, s.part(i)), max(high, s.part(i))
		}
		if high-low > most {
			part, most = i, high-low
		}
	}
	return part, most
}

// weight is how much is lost where one colour stands for them all: those that are far apart count, however rare they are.
func (b shades) weight() float64 {
	_, most := b.spread()
	n := 0
	for _, s := range b {
		n += s.n
	}
	return float64(most*most) * math.Sqrt(float64(n))
}

func (b shades) mean() color.RGBA {
	var sum [3]int
	n := 0
	for _, s := range b {
		for i := range 3 {
			sum[i] += s.part(i) * s.n
		}
		n += s.n
	}
	return color.RGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), 255}
}

// fewColours makes a picture of no more than so many colours: the shades are cut in two where they differ most, until there are
// as many boxes (median cut, by distance).
func fewColours(full image.Image, many int) *image.Paletted {
	often := map[color.RGBA]int{}
	at := full.Bounds()
	pixel := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			often[pixel(x, y)]++
		}
	}
	var all shades
	for _, c := range slices.SortedFunc(maps.Keys(often), func(a, b color.RGBA) int {
		return cmp.Or(int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	}) {
		all = append(all, shade{c, often[c]})
	}
	boxes := []shades{all}
	for len(boxes) < many {
		i, most := 0, 0.0
		for k, b := range boxes {
			if w := b.weight(); w > most {
				i, most = k, w
			}
		}
		if most == 0 {
			break
		}
		low, high := cut(boxes[i])
		boxes[i] = low
		boxes = append(boxes, high)
	}
	var few color.Palette
	known := map[color.RGBA]uint8{}
	for i, b := range boxes {
		few = append(few, b.mean())
		for _, s := range b {
			known[s.RGBA] = uint8(i)
		}
	}
	out := image.NewPaletted(at, few)
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			out.SetColorIndex(x, y, known[pixel(x, y)])
		}
	}
	return out
}

// cut parts shades at the middle of what they differ in most.
func cut(b shades) (low, high shades) {
	part, _ := b.spread()
	least, most := 255, 0
	for _, s := range b {
		least, most = min(least, s.part(part)), max(most, s.part(part))
	}
	for _, s := range b {
		if s.part(part) <= (least+most)/2 {
			low = append(low, s)
		} else {
			high = append(high, s)
		}
	}
	return low, high
}

// TestFewColours: what is rare in a picture keeps its colour.
func TestFewColours(t *testing.T) {
	full := image.NewRGBA(image.Rect(0, 0, 256, 256))
	for y := range 256 {
		for x := range 256 {
			full.SetRGBA(x, y, color.RGBA{uint8(x), uint8(x), uint8(x), 255})
		}
	}
	rare := map[image.Point]color.RGBA{{X: 3, Y: 3}: {200, 30, 30, 255}, {X: 200, Y: 7}: {20, 140, 60, 255}, {X: 100, Y: 9}: {10, 90, 220, 255}}
	for p, c := range rare {
		full.SetRGBA(p.X, p.Y, c)
	}
	few := fewColours(full, 32)
	if n := len(few.Palette); n > 32 {
		t.Errorf("%d colours", n)
	}
	for p, want := range rare {
		got := color.RGBAModel.Convert(few.At(p.X, p.Y)).(color.RGBA)
		for i := range 3 {
			if d := (shade{RGBA: got}).part(i) - (shade{RGBA: want}).part(i); d < -24 || d > 24 {
				t.Errorf("%v became %v", want, got)
			}
		}
	}
}
