package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/api"
)

// whereSSH is the SSH port as this program's user reaches it.
type whereSSH struct {
	api.SSH
	host, port string
}

// knownAs is how ssh calls it in known_hosts.
func (w whereSSH) knownAs() string {
	if w.port == "22" {
		return w.host
	}
	return "[" + w.host + "]:" + w.port
}

// whereSSH asks where people come in, and finds the host's name as it is from here: over the local socket that is this box,
// else the host that the API was asked at.
func (a *app) whereSSH(ctx context.Context, c *api.Client) (whereSSH, error) {
	at, err := c.SSH(ctx)
	if err != nil {
		return whereSSH{}, err
	}
	if at.Listen == "" {
		return whereSSH{}, &hinted{err: fmt.Errorf("the appliance has no SSH port: %s", at.Reason), hint: "its owner sets ssh.listen in the settings, or --ssh-listen; see palisade doctor"}
	}
	host, port, err := net.SplitHostPort(at.Listen)
	if err != nil {
		return whereSSH{}, fmt.Errorf("reading where SSH is: %w", err)
	}
	if err := sound(at, port); err != nil {
		return whereSSH{}, err
	}
	w := whereSSH{SSH: at, host: host, port: port}
	own, err := netip.ParseAddr(host)
	if local := strings.HasPrefix(c.Host(), "unix://"); local {
		if err == nil && own.IsUnspecified() {
			w.host = "127.0.0.1"
		}
		return w, nil
	}
	u, parseErr := url.Parse(c.Host())
	if parseErr != nil {
		return whereSSH{}, fmt.Errorf("reading where the appliance is: %w", parseErr)
	}
	if err == nil && own.IsLoopback() && !loopback("http://"+u.Host) {
		return whereSSH{}, &hinted{
			err:  fmt.Errorf("the appliance's SSH port answers on its own box alone (%s)", at.Listen),
			hint: "its owner opens it to others with ssh.listen: \":" + port + "\" in the settings, and palisade restart",
		}
	}
	w.host = u.Hostname()
	return w, nil
}

// sound refuses what would be more than a word among ssh's settings and known hosts, whoever answered.
func sound(at api.SSH, port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("reading where SSH is: %q is no port", port)
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(at.HostKey))
	if err != nil || len(rest) > 0 || strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) != at.HostKey {
		return fmt.Errorf("reading the appliance's SSH host key: %q is none", at.HostKey)
	}
	return nil
}

// errNoDir says that there is no place for this program's own key.
var errNoDir = errors.New("neither XDG_CONFIG_HOME nor HOME is set: there is no place for a key")

// identity is the key with which this program comes in by itself, and the file in which it keeps hosts' keys.
type identity struct{ key, known string }

func (a *app) sshDir() (string, error) {
	if dir := a.env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "palisade", "ssh"), nil
	}
	if home := a.env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "palisade", "ssh"), nil
	}
	return "", errNoDir
}

// identify makes this user's own key where there is none, and sees to it that the appliance knows it and that ssh knows the
// appliance: nobody is asked about a fingerprint that came over a line that is trusted already.
func (a *app) identify(ctx context.Context, c *api.Client, w whereSSH) (identity, error) {
	dir, err := a.sshDir()
	if err != nil {
		return identity{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, fmt.Errorf("making a place for a key: %w", err)
	}
	id := identity{key: filepath.Join(dir, "id_ed25519"), known: filepath.Join(dir, "known_hosts")}
	line, err := a.ownKey(id.key)
	if err != nil {
		return identity{}, err
	}
	if err := a.introduce(ctx, c, line); err != nil {
		return identity{}, err
	}
	return id, remember(id.known, w)
}

// ownKey reads the public half of this program's key, which is made where there is none.
func (a *app) ownKey(path string) (string, error) {
	if text, err := os.ReadFile(path); err == nil {
		key, err := ssh.ParsePrivateKey(text)
		if err != nil {
			return "", &hinted{err: fmt.Errorf("reading the key %s: %w", path, err), hint: "remove the file, and a new one is made"}
		}
		return string(ssh.MarshalAuthorizedKey(key.PublicKey())), nil
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "palisade")
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	// Two that start at once must agree: the first wins.
	half := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(half, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", fmt.Errorf("keeping a key: %w", err)
	}
	defer os.Remove(half)
	switch err := os.Link(half, path); {
	case errors.Is(err, os.ErrExist):
		return a.ownKey(path)
	case err != nil:
		return "", fmt.Errorf("keeping a key: %w", err)
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), nil
}

// introduce has the appliance know a key.
func (a *app) introduce(ctx context.Context, c *api.Client, line string) error {
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)) //nolint:dogsled // the library's
	if err != nil {
		return fmt.Errorf("reading the own key: %w", err)
	}
	fingerprint := ssh.FingerprintSHA256(public)
	keys, err := c.SSHKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Fingerprint == fingerprint {
			return nil
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "here"
	}
	name := "palisade-ssh@" + host[:min(len(host), 32)] + "-" + strings.ToLower(rand.Text()[:4])
	if _, err := c.AddSSHKey(ctx, api.SSHKeyCreate{Key: strings.TrimSpace(line), Name: name, AllProjects: true}); err != nil {
		return err
	}
	a.notef("palisade: added this user's own SSH key, %s; to end it: palisade ssh-key rm %s", name, name)
	return nil
}

// remember keeps a host's key where ssh looks for it, in place of an earlier one of the same host.
func remember(path string, w whereSSH) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading known hosts: %w", err)
	}
	line := w.knownAs() + " " + w.HostKey + "\n"
	var lines []string
	for old := range strings.Lines(string(before)) {
		if old == line {
			return nil
		}
		if !strings.HasPrefix(old, w.knownAs()+" ") {
			lines = append(lines, old)
		}
	}
	half := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(half, []byte(strings.Join(append(lines, line), "")), 0o600); err != nil {
		return fmt.Errorf("keeping the host's key: %w", err)
	}
	if err := os.Rename(half, path); err != nil {
		return fmt.Errorf("keeping the host's key: %w", err)
	}
	return nil
}

func (a *app) sshCommand() *cobra.Command {
	var options []string
	cmd := &cobra.Command{
		Use: "ssh SESSION [COMMAND...]", Short: "Come into a session by SSH, without any preparation", Args: words("SESSION [COMMAND]", 1, -1),
		Long: "Come into a session with this box's ssh program. A key of this user's own is made and added where there is none, and the\n" +
			"appliance's host key is checked against what its API says. SESSION is a name or an id. For scp, rsync, sftp and VS Code\n" +
			"see: palisade ssh-config",
		Example:           "  palisade ssh desk\n  palisade ssh desk nvidia-smi\n  palisade ssh --option -L --option 8888:localhost:8888 desk",
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Session(ctx, args[0])
			if err != nil {
				return err
			}
			w, err := a.whereSSH(ctx, c)
			if err != nil {
				return err
			}
			id, err := a.identify(ctx, c, w)
			if err != nil {
				return err
			}
			words := append(sshOptions(w, id), options...)
			return a.runSSH(ctx, append(append(words, "-l", s.ID, w.host), args[1:]...))
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the session is the command's
	cmd.Flags().StringArrayVar(&options, "option", nil, "a word for ssh itself, such as -t, -N or -v; again for each word")
	return cmd
}

// fastCipher is what to prefer for large files: processors do it by themselves, where ssh's first choice is computed.
const fastCipher = "aes128-gcm@openssh.com"

// sshOptions let ssh use this program's own key and what it knows of the host, and nothing else.
func sshOptions(w whereSSH, id identity) []string {
	return []string{
		"-p", w.port, "-i", id.key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile=" + id.known,
		"-o", "Ciphers=^" + fastCipher, "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes",
	}
}

// runSSH runs the box's ssh; its exit code is that of the command.
func (a *app) runSSH(ctx context.Context, words []string) error {
	path, err := exec.LookPath("ssh")
	if err != nil {
		return &hinted{err: errors.New("there is no ssh program here"), hint: "install it (Debian: openssh-client), or use: palisade session exec -it SESSION -- bash"}
	}
	cmd := exec.CommandContext(ctx, path, words...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.Stdin, a.Stdout, a.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return &commandEnd{api.Exit{Reason: "failed", Code: exit.ExitCode()}}
	}
	return err
}

func (a *app) sshConfigCommand() *cobra.Command {
	var alias string
	cmd := &cobra.Command{
		Use: "ssh-config [SESSION...]", Short: "Print lines for ~/.ssh/config, for ssh, scp, rsync, sftp and VS Code", Args: words("[SESSION]", 0, -1),
		Long: "Print lines for ~/.ssh/config. After that `ssh SESSION@palisade` comes into a session, and so does whatever uses ssh: scp,\n" +
			"rsync, sftp, VS Code (Remote - SSH). For each SESSION that is named a host palisade-SESSION is added.",
		Example:           "  palisade ssh-config >> ~/.ssh/config\n  rsync -a data/ desk@palisade:data/",
		ValidArgsFunction: a.completeAt(-1, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := a.client()
			if err != nil {
				return err
			}
			w, err := a.whereSSH(ctx, c)
			if err != nil {
				return err
			}
			hosts := make([]sshHost, 0, 1+len(args))
			hosts = append(hosts, sshHost{alias: alias})
			for _, name := range args {
				s, err := c.Session(ctx, name)
				if err != nil {
					return err
				}
				hosts = append(hosts, sshHost{alias + "-" + name, userOf(s, name)})
			}
			id, err := a.identify(ctx, c, w)
			if err != nil {
				return err
			}
			fmt.Fprint(a.out, hostBlocks(hosts, w, id))
			return nil
		},
	}
	cmd.Flags().StringVar(&alias, "alias", "palisade", "what to call the appliance")
	return cmd
}

// sshHost is what ssh is to know by a name, and as whom to come there; "" leaves that open.
type sshHost struct{ alias, user string }

// userOf is what stands before the @ for a session that a person names: this program's own key opens all projects, of which
// several may have a session of that name.
func userOf(s api.Session, named string) string {
	if named == s.Name && s.Project != "default" {
		return named + "." + s.Project
	}
	return named
}

// hostBlocks are lines of a configuration of ssh.
func hostBlocks(hosts []sshHost, w whereSSH, id identity) string {
	var out strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&out, "Host %s\n    HostName %s\n    Port %s\n", h.alias, w.host, w.port)
		if h.user != "" {
			fmt.Fprintf(&out, "    User %s\n", h.user)
		}
		fmt.Fprintf(&out, "    IdentityFile %q\n    IdentitiesOnly yes\n    UserKnownHostsFile %q\n    Ciphers ^%s\n    ServerAliveInterval 15\n", id.key, id.known, fastCipher)
	}
	return out.String()
}
