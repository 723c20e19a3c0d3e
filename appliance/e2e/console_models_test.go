package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// confirms says yes to what the page asks before it does what cannot be undone.
func (rd *reader) confirms() {
	rd.t.Helper()
	rd.holds(`document.querySelector("#confirm").open`)
	rd.click(`#confirm [value=yes]`)
}

// finishes waits for the end of the install whose page comes next.
func (rd *reader) finishes(begin func()) {
	rd.t.Helper()
	rd.stay()
	begin()
	rd.leaves()
	if err := eventually(60*time.Second, func() error {
		var status string
		if rd.truth(`document.querySelector("#live-install")?.dataset.status || ""`, &status); status != "DONE" {
			return errors.New(status)
		}
		return nil
	}); err != nil {
		var text string
		rd.truth(`document.querySelector("main").innerText`, &text)
		rd.t.Fatalf("%v: %.1500s", err, text)
	}
}

// spoil changes a byte of the file with those contents among what is kept of models.
func (b *installing) spoil(contents string) {
	b.t.Helper()
	spoilt := 0
	err := filepath.WalkDir(b.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !entry.Type().IsRegular() {
			return err
		}
		if info, err := entry.Info(); err != nil || info.Size() != int64(len(contents)) {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte("X"), 4096)
		spoilt++
		return err
	})
	if err != nil || spoilt == 0 {
		b.t.Fatalf("%d files were changed, %v", spoilt, err)
	}
}

// TestModelsInABrowser clicks all that there is on the pages of models that are installed.
func TestModelsInABrowser(t *testing.T) {
	const first, second = "I am the first, and this is my voice.", "I am the second, and this is my voice."
	b := newInstalling(t)
	b.commit("speaker", first)
	b.run("install", "speaker", "--no-calibrate")
	rd := b.newReader()
	rd.logIn("admin", b.firstPassword())
	step := func(name string, do func()) {
		t.Run(name, func(t *testing.T) {
			rd.t = t
			do()
			rd.content(name)
		})
	}
	step("bytes", func() { // scripts write them as the pages do
		rd.open("/models/speaker")
		for _, n := range []int64{0, 1023, 1024, 1536, 1<<20 - 1, 108 << 20, 193<<20 + 614<<10, 1000 << 30, 5 << 40, -1536} {
			rd.holds(fmt.Sprintf(`palisade.bytes(%d) === %q`, n, bytesize.Format(n)))
		}
	})
	step("update", func() {
		b.commit("speaker", second)
		rd.open("/models/speaker")
		rd.finishes(func() { rd.click("#model-update"); rd.confirms() })
		b.says("speaker", second)
	})
	step("rollback", func() {
		rd.open("/models/speaker")
		rd.reads("#live-model tbody", "2")
		rd.finishes(func() { rd.click(`[hx-post$="/rollback"]`); rd.confirms() })
		b.says("speaker", first)
		rd.open("/models/speaker")
		if m := b.model("speaker"); m.Current != 1 || len(m.Revisions) != 2 {
			t.Errorf("%+v", m)
		}
	})
	step("pin", func() {
		rd.stay()
		rd.click("#model-pin")
		rd.holds(`document.querySelector("#model-update").disabled`)
		b.fails(1, []string{"pinned"}, "model", "update", "speaker")
		rd.click("#model-pin")
		rd.holds(`!document.querySelector("#model-update").disabled`)
		rd.stayed()
	})
	step("verify", func() {
		start := func() {
			rd.t.Helper()
			rd.holds(`!document.querySelector("#verify-start").disabled`)
			rd.click("#verify-start")
		}
		rd.click("#model-verify")
		rd.see("#verify-start")
		start()
		rd.reads("#verify", "All files are what was installed")
		b.spoil(b.extra)
		start()
		rd.reads("#verify", "extra.bin")
		rd.reads("#verify", "damaged")
		rd.fits("a model whose files are damaged", looks[0])
		rd.click("#verify-repair")
		start()
		rd.reads("#verify", "fetched again")
		rd.click("#verify-repair")
		start()
		rd.reads("#verify", "All files are what was installed")
		rd.click("#verify-close")
	})
	file := filepath.Join(t.TempDir(), "speaker.bundle")
	b.run("bundle", "create", "speaker", "-o", file)
	step("remove", func() {
		rd.click("#model-remove")
		rd.confirms()
		rd.reads("#live-model [data-problem]", "used by service speaker")
		rd.forgive() // the browser notes the status 409
		rd.see("#model-remove-all")
		rd.stay()
		rd.click("#model-remove-all")
		rd.confirms()
		rd.leaves()
		rd.at("/models")
		rd.holds(`!document.querySelector("#live-models table")`)
		if all := b.run("model", "list", "-q") + b.run("service", "list", "-q"); all != "" {
			t.Errorf("left: %s", all)
		}
	})
	step("a bundle", func() {
		rd.receives(file)
		rd.finishes(func() { rd.click(`[hx-post$="/bundles/speaker/install"]`) })
		b.says("speaker", first)
		rd.open("/models")
		rd.click(`[hx-post$="/bundles/speaker/remove"]`)
		rd.confirms()
		rd.holds(`!document.querySelector("#live-bundles").innerText.includes("speaker")`)
		rd.click("#models-gc")
		rd.confirms()
		rd.reads("#toasts", "")
	})
}

// receives brings a bundle: one that is cut off is refused, and so is one that nobody signed, until that is allowed.
func (rd *reader) receives(file string) {
	whole, err := os.ReadFile(file)
	if err != nil {
		rd.t.Fatal(err)
	}
	cut := filepath.Join(rd.t.TempDir(), "cut.bundle")
	if err := os.WriteFile(cut, whole[:len(whole)-1000], 0o600); err != nil {
		rd.t.Fatal(err)
	}
	rd.stay()
	rd.click("#bundle-receive")
	rd.see("#receive-form [type=submit]")
	choose := func(path string) {
		rd.t.Helper()
		rd.do(chromedp.SetUploadFiles("#receive-file", []string{path}, chromedp.ByQuery))
		rd.click("#receive-form [type=submit]")
	}
	choose(file)
	rd.reads("#receive-form [data-problem]", "sign")
	rd.forgive() // the browser notes the status
	rd.click("#receive-unsigned")
	choose(cut)
	rd.holds(`document.querySelector("#receive-form [data-problem]").innerText && !document.querySelector("#receive-form [data-problem]").innerText.includes("sign")`)
	for _, complaint := range rd.forgive() {
		if !strings.Contains(complaint, "status of 4") {
			rd.t.Error(complaint)
		}
	}
	rd.fits("a bundle that was refused", looks[0])
	choose(file)
	rd.reads("#live-bundles", "speaker")
	rd.holds(`!document.querySelector("#receive").open`)
	rd.stayed()
}
