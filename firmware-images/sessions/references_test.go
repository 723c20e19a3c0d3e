package sessionimages

import (
	"strings"
	"testing"
)

func TestReferences(t *testing.T) {
	list, err := References()
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"nvcr.io/nvidia/pytorch:25.01-py3":               "NVIDIA's PyTorch (NGC)",
		"nvcr.io/nvidia/pytorch@sha256:0123":             "NVIDIA's PyTorch (NGC)",
		"docker.io/nvidia/cuda:12.6.3-devel-ubuntu24.04": "CUDA",
		"quay.io/jupyter/scipy-notebook":                 "Jupyter's docker stacks",
		"jupyter/base-notebook:x":                        "Jupyter's docker stacks",
		"pytorch/pytorch":                                "PyTorch",
		"localhost:5000/nvidia/cuda":                     "",
		"nvcr.io/nvidia/pytorch/more":                    "",
		"busybox":                                        "",
		"":                                               "",
	} {
		if r, ok := Match(list, image); r.Title != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", image, r.Title, want)
		}
	}
	for _, r := range list {
		if !strings.HasPrefix(r.Create, "palisade session create ") {
			t.Errorf("%s: how a session is made of it: %q", r.Title, r.Create)
			continue
		}
		// What is shown as an example must be one of its own.
		if got, _ := Match(list, strings.Fields(r.Create)[3]); got.Title != r.Title {
			t.Errorf("%s: its example is an image of %q", r.Title, got.Title)
		}
	}
}

// TestAnImagesOwnWordCounts: what is known of its like is for an image that does not say.
func TestAnImagesOwnWordCounts(t *testing.T) {
	list, err := References()
	if err != nil {
		t.Fatal(err)
	}
	const image = "nvcr.io/nvidia/pytorch:25.01-py3"
	labels := Labels(list, image, map[string]string{"maintainer": "x"})
	if labels[LabelPorts] != "jupyterlab:http:8888,tensorboard:http:6006" || labels["maintainer"] != "x" || labels[LabelApp+"tensorboard"] == "" {
		t.Errorf("%v", labels)
	}
	own := map[string]string{LabelPorts: "mine:http:1"}
	if labels := Labels(list, image, own); len(labels) != 1 || labels[LabelPorts] != "mine:http:1" {
		t.Errorf("%v", labels)
	}
	if labels := Labels(list, "busybox", nil); len(labels) != 0 {
		t.Errorf("%v", labels)
	}
}

func FuzzMatch(f *testing.F) {
	list, err := References()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("nvcr.io/nvidia/pytorch:25.01-py3@sha256:00")
	f.Add("[:/@")
	f.Fuzz(func(_ *testing.T, image string) { Match(list, image) })
}
