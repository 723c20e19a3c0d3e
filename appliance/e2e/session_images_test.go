package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// shipped imports an image that comes with Palisade: `make images`, part of `make test-tools`, has built it.
func (b *box) shipped(name string) (image string) {
	b.t.Helper()
	root, err := moduleRoot()
	if err != nil {
		b.t.Fatal(err)
	}
	archive, err := output(root, "go", "run", "./firmware-images/sessions/build", "-find", name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.run("image", "import", archive)
	return "palisade/" + name
}

// TestShippedImages works with each of the images, as those would whom they are for.
func TestShippedImages(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "containerd", "--containerd", "private"}
	b.start()
	t.Run("base", func(t *testing.T) { b.in(t).worksInBase() })
	t.Run("editor", func(t *testing.T) { b.in(t).worksInTheEditor() })
	image, pipeline := b.shipped("pytorch-cpu"), b.example()
	t.Run("notebook", func(t *testing.T) { b.in(t).worksInTheNotebook(image) })
	t.Run("training", func(t *testing.T) { b.in(t).losesNoEpoch(image) })
	t.Run("train and serve", func(t *testing.T) { b.in(t).trainsAndServes(pipeline) })
}

// in is the box, as seen from a part of its test.
func (b *box) in(t *testing.T) *box {
	part := *b
	part.t = t
	return &part
}

func (b *box) worksInBase() {
	image := b.shipped("base")
	results := b.data("base-results")
	if err := os.Chmod(results, 0o777); err != nil { // the image's user is none of this box
		b.t.Fatal(err)
	}
	b.run("session", "create", image, "--name", "tools", "-v", "base-results", "-r", "mem=512m", "--wait", "-c", `set -eux
		test "$(id -un) $(id -u) $(id -gn) $HOME $PWD" = "work 1000 work /home/work /home/work"
		python -m venv --without-pip v && v/bin/python -c 'import ctypes, lzma, sqlite3, ssl, zoneinfo; zoneinfo.ZoneInfo("Asia/Seoul")'
		python3 -m pip --version
		git init -q r && git -C r -c user.name=x -c user.email=x@y commit -q --allow-empty -m first
		rsync -a r/ s/ && git -C s log --oneline
		echo '{"a": [1]}' | jq -e '.a[0] == 1'
		tmux -V; vim.tiny --version >/dev/null; vi --version >/dev/null; curl --version; ps; less --version; ip address
		grep -P '^git\t' /usr/share/palisade/packages.tsv
		! ls /etc/ssh/ssh_host_*
		ssh-keygen -q -t ed25519 -N '' -f k && mkdir -m 700 .ssh && cp k.pub .ssh/authorized_keys
		/usr/sbin/sshd -p 2200 -h ~/k -o PidFile=none -o ListenAddress=127.0.0.1
		ssh -i k -p 2200 -o ConnectionAttempts=30 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1 'hostname; echo done > base-results/by-ssh'`)
	b.contains(filepath.Join(results, "by-ssh"), "done\n")
}
