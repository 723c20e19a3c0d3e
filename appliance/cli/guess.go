package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// guess is what a word stands for that people bring along from other tools: below the command of that name, "" for any.
type guess struct{ command, word, hint string }

// oneTooMany stands for any word behind a command that takes no more.
const oneTooMany = "..."

// guesses are words of docker, kubectl, ollama, vLLM and Slurm. The first that fits is said.
func guesses() []guess {
	return []guess{
		{"palisade", "run", "a model: palisade install MODEL, then palisade chat NAME; a container: palisade session create IMAGE -c COMMAND"},
		{"palisade", "srun", "palisade session create IMAGE -c COMMAND --wait"},
		{"palisade", "sbatch", "palisade session create IMAGE -c COMMAND; palisade batch wait SESSION waits for it"},
		{"palisade", "salloc", "palisade session create IMAGE --wait, then palisade session attach SESSION"},
		{"palisade", "squeue", "palisade queue, and for all that runs palisade ps"},
		{"palisade", "sacct", "palisade usage --sessions"},
		{"palisade", "scancel", "palisade session rm SESSION"},
		{"palisade", "sinfo", "palisade top, palisade device list"},
		{"palisade", "list", "palisade service list, palisade model list, palisade ps"},
		{"palisade", "ls", "palisade service list, palisade model list, palisade ps"},
		{"palisade", "up", "palisade serve is the appliance; a model: palisade install MODEL"},
		{"palisade", "down", "palisade service scale NAME 0 ends the routes of a service; the appliance itself ends by SIGTERM, and its sessions go on"},
		{"palisade", "tokens", "palisade service tokens NAME, or --all for those of the whole project"},
		{"palisade", "get", "palisade service list, palisade session list, palisade device list"},
		{"palisade", "describe", "palisade service info NAME, palisade session info SESSION"},
		{"palisade", "apply", "palisade service create, or palisade pipeline apply FILE"},
		{"palisade", "create", "palisade service create, palisade session create, palisade folder create"},
		{"palisade", "delete", "palisade service rm NAME, palisade session rm SESSION, palisade model rm NAME"},
		{"palisade", "rm", "palisade service rm NAME, palisade session rm SESSION, palisade model rm NAME"},
		{"palisade", "stop", "palisade service scale NAME 0, or palisade session rm SESSION; the daemon itself ends by SIGTERM"},
		{"palisade", "status", "palisade doctor, palisade service list, palisade top"},
		{"palisade", "pull", "palisade install MODEL for a model, palisade image pull IMAGE for an image"},
		{"palisade", "show", "palisade model show NAME, palisade service info NAME, palisade catalog show NAME"},
		{"palisade", "logs", "palisade service logs NAME, or palisade session logs SESSION"},
		{"palisade", "exec", "palisade session exec SESSION -- COMMAND"},
		{"palisade", "attach", "palisade session attach SESSION"},
		{"palisade", "cp", "palisade folder cp FROM... TO, where one of them is FOLDER:PATH"},
		{"palisade", "scale", "palisade service scale NAME COUNT"},
		{"palisade", "update", "palisade model update NAME for a new revision of a model, palisade service update NAME for a service, palisade restart for a new version of this program"},
		{"palisade", "upgrade", "put the new program in the place of this one, then: palisade restart"},
		{"palisade", "token", "palisade service generate-token NAME --duration 30d, palisade service tokens NAME"},
		{"palisade", "login", "a command line needs no log-in: set PALISADE_HOST and PALISADE_KEY (palisade key create NAME); a registry: palisade registry login HOST"},
		{"palisade", "config", "settings are a file: palisade serve --config FILE; --check looks at it"},
		{"palisade", "node", "palisade cluster status"},
		{"palisade", "nodes", "palisade cluster status"},
		{"palisade", "limits", "palisade project limits NAME, palisade user limits NAME; of a token: palisade service tokens NAME"},
		{"palisade", "deploy", "palisade install MODEL for one of the catalog, palisade service create for a folder or an engine of your own"},
		{"palisade", "launch", "palisade install MODEL, palisade service create, palisade session create"},
		{"palisade", "start", "palisade service scale NAME COUNT; the appliance itself: palisade serve"},
		{"palisade", "kill", "palisade session rm SESSION ends a session or a route; palisade service scale NAME 0 all routes of a service"},
		{"palisade", "inspect", "palisade service info NAME, palisade session info SESSION, each with -o json"},
		{"palisade", "info", "palisade doctor, palisade version; palisade service info NAME, palisade session info SESSION"},
		{"palisade", "health", "palisade doctor"},
		{"palisade", "ready", "palisade wait waits until the appliance answers"},
		{"palisade", "search", "palisade catalog search WORDS"},
		{"palisade", "gpu", "palisade device list, palisade top"},
		{"palisade", "gpus", "palisade device list, palisade top"},
		{"palisade", "accelerators", "palisade device list, palisade top"},
		{"palisade", "nvidia-smi", "palisade device list, palisade top"},
		{"palisade", "endpoint", "palisade service get-endpoint NAME"},
		{"palisade", "endpoints", "palisade service list; palisade service get-endpoint NAME for the address of one"},
		{"palisade", "route", "palisade service info NAME lists the routes of a service"},
		{"palisade", "routes", "palisade service info NAME lists the routes of a service"},
		{"palisade", "rule", "palisade service rule, palisade service autoscale"},
		{"palisade", "rules", "palisade service rule, palisade service autoscale"},
		{"palisade", "console", "a browser finds it at http://HOST:PORT/console/; palisade doctor says the address"},
		{"palisade", "dashboard", "a browser finds it at http://HOST:PORT/console/; palisade doctor says the address"},
		{"palisade", "open", "a browser finds the console at http://HOST:PORT/console/; palisade doctor says the address"},
		{"palisade serve", oneTooMany, "palisade serve is the appliance itself; a model: palisade install MODEL for one of the catalog, palisade service create for a folder"},
		{"palisade restart", oneTooMany, "palisade restart is for the appliance itself; a service: palisade service update NAME --reload starts its routes anew"},
		{"palisade", "metrics", "curl http://HOST:PORT/metrics for Prometheus; palisade top, palisade service top for people"},
		{"palisade service", "create-token", "palisade service generate-token NAME --duration 30d"},
		{"palisade service", "list-tokens", "palisade service tokens NAME"},
		{"palisade service rule", "add", "palisade service rule create SERVICE; in one line: palisade service autoscale SERVICE --max N --target concurrency=8"},
		{"palisade service", "token", "palisade service tokens NAME lists them, palisade service generate-token NAME --duration 30d makes one"},
		{"palisade service", "restart", "palisade session rm SESSION ends one route, and it is replaced; palisade service update NAME --reload starts all anew"},
		{"palisade service", "stop", "palisade service scale NAME 0: the address stays"},
		{"palisade service", "start", "palisade service scale NAME COUNT"},
		{"palisade service", "get", "palisade service info NAME, palisade service list"},
		{"palisade session", "run", "palisade session create IMAGE -c COMMAND"},
		{"palisade session", "start", "palisade session create IMAGE"},
		{"palisade session", "ssh", "palisade ssh SESSION"},
		{"palisade cluster", "join", "palisade join URL TOKEN; `palisade cluster token`, on a box of the cluster, prints what to type"},
		{"palisade model", "pull", "palisade install MODEL"},
		{"palisade model", "install", "palisade install MODEL"},
		{"palisade folder", "upload", "palisade folder cp FILE... FOLDER:PATH"},
		{"palisade folder", "download", "palisade folder cp FOLDER:PATH DIRECTORY"},
		{"palisade user", "passwd", "palisade user reset NAME draws a new password"},
		{"palisade audit", "log", "palisade audit list"},

		{"", "--json", "-o json"},
		{"", "--format", "-o table, -o wide or -o json"},
		{"palisade chat", "-m", "the message is the last words: palisade chat SERVICE MESSAGE"},
		{"palisade service create", "--replicas", "the number of routes is the last word: palisade service create IMAGE [MODEL_FOLDER] [COUNT]"},
		{"palisade service scale", "--replicas", "the number of routes is the last word: palisade service scale SERVICE COUNT"},
		{"palisade service generate-token", "--expires", "--duration 30d, or --valid-until 2030-01-31T12:00:00Z"},
		{"palisade service generate-token", "--ttl", "--duration 30d"},
		{"palisade service logs", "--since", "-n 100 for the last lines, -f for those to come"},
		{"palisade session logs", "--since", "-n 100 for the last lines, -f for those to come"},
		{"palisade service list", "--all", "--status shows those in one status; removed services: palisade audit list"},
		{"palisade service list", "-w", "palisade service top shows them live"},
		{"palisade serve", "--port", "--listen HOST:PORT"},
		{"palisade serve", "-p", "--listen HOST:PORT"},
		{"palisade serve", "--data-dir", "--data DIR"},
		{"palisade serve", "-d", "palisade serve & starts it beside this shell, and palisade wait waits until it answers"},
		{"palisade serve", "--detach", "palisade serve & starts it beside this shell, and palisade wait waits until it answers"},
		{"palisade session create", "-i", "palisade session create IMAGE --wait, then palisade session attach SESSION"},
		{"palisade session create", "--rm", "a session is gone when it ends; its log and its history stay: palisade session info SESSION"},
		{"palisade session create", "--time", "--timeout 8h"},
		{"palisade session create", "--volume", "-v FOLDER[:PATH][:ro]"},
		{"palisade session create", "--image", "the image is the first word: palisade session create IMAGE"},
		{"palisade session create", "--command", "-c COMMAND"},
		{"", "--gpus", "-r cuda.device=1, or cuda.shares=0.5 for a part; palisade device list shows what there is"},
		{"", "--gres", "-r cuda.device=1, or cuda.shares=0.5 for a part; palisade device list shows what there is"},
		{"", "--gpu", "-r cuda.device=1, or cuda.shares=0.5 for a part; palisade device list shows what there is"},
		{"", "--cpus", "-r cpu=2"},
		{"", "--cpu", "-r cpu=2"},
		{"", "--memory", "-r mem=4g"},
		{"", "--mem", "-r mem=4g"},
	}
}

// otherWord says what a word is called here, "" where nobody is known to say it so.
func otherWord(cmd *cobra.Command, word string) string {
	word, _, _ = strings.Cut(word, "=")
	for _, g := range guesses() {
		if g.word == word && (g.command == "" || g.command == cmd.CommandPath()) {
			return g.hint
		}
	}
	return ""
}
