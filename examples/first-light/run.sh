#!/usr/bin/env bash
# shellcheck disable=SC2317 # functions are handed to traps and to wait_until by name
# First light: from a fresh checkout to a model that answers, then up until Ctrl-C.
#
#   examples/first-light/run.sh [--once]      --once: ends after the answer
#
# It builds Palisade and an engine, starts an appliance on loopback with its data in the cache, serves the model "hello"
# with two routes, asks it a question and prints what to paste to ask it yourself. On Ctrl-C the service is
# removed and the appliance stopped: nothing is left running. What was built stays, so the next run takes seconds.
#
#   PALISADE_PORT   the port to listen on (default: 8080, or the next one that is free)
#   PALISADE_CACHE  where all that is built and kept lies (default: ~/.cache/palisade)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

once=
case ${1:-} in
'') ;;
--once) once=1 ;;
*)
	echo "usage: examples/first-light/run.sh [--once]" >&2
	exit 2
	;;
esac

CACHE=${PALISADE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PALISADE_CACHE}/.cache}/palisade}
PALISADE=$PWD/bin/palisade
HERE=$CACHE/first-light
DATA=$HERE/data
MODEL=$HERE/models/hello
LOG=$HERE/palisade.log
FIRST=$HERE/first-log-in # what the first start says on stdout: no log is to keep a password
NAME=hello
# A unix socket's path has at most 107 bytes, so a cache that lies deep needs its data elsewhere.
[ ${#DATA} -le 85 ] || DATA=/tmp/palisade-first-light-$(id -u)

# --- What it says -----------------------------------------------------------------------------------------------------

bold='' dim='' off=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
now() { echo "${EPOCHREALTIME/[.,]/}"; } # microseconds
seconds() { printf '%d.%d s' $(($1 / 1000000)) $(($1 / 100000 % 10)); }
begun=$(now)
step_begun=$begun
step() {
	step_begun=$(now)
	printf '%s==> %s%s\n' "$bold" "$1" "$off"
}
done_in() { printf '    %s%s (%s)%s\n' "$dim" "$1" "$(seconds $(($(now) - step_begun)))" "$off"; }
fail() {
	printf '\nfirst light: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '  %s\n' "$@" >&2
	exit 1
}
# patiently runs a command that says little, and says every ten seconds that it still runs.
patiently() {
	local ticker status=0
	(
		trap 'kill $! 2>/dev/null; exit 0' TERM
		while :; do
			sleep 10 &
			wait $!
			printf '    %s... %s%s\n' "$dim" "$(seconds $(($(now) - step_begun)))" "$off"
		done
	) &
	ticker=$!
	"$@" || status=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	return "$status"
}

# --- How it ends ------------------------------------------------------------------------------------------------------

daemon=
palisade() { "$PALISADE" --data "$DATA" "$@"; }
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# wait_until SECONDS COMMAND...: whether the command came true in that time.
wait_until() {
	local end=$(($(now) + $1 * 1000000))
	shift
	until "$@"; do
		[ "$(now)" -lt "$end" ] || return 1
		sleep 0.05
	done
}
gone() { ! alive "$1"; }
no_service() { ! palisade service list -q 2>/dev/null | grep -qFx "$NAME"; }

stop_daemon() {
	kill -TERM "$1" 2>/dev/null || true
	wait_until 20 gone "$1" && return
	echo "    it does not end; killing it" >&2
	kill -KILL "$1" 2>/dev/null || true
	wait_until 5 gone "$1" || true
}

removed() { if [ "$1" -eq 1 ]; then echo "the service is removed"; else echo "$1 services are removed"; fi; }

finish() {
	local status=$?
	trap '' INT TERM HUP
	if alive "$daemon"; then
		echo
		step "stopping"
		# All of them, also those that somebody made while looking around: engines outlive their appliance.
		local services=() left="nothing is left running"
		mapfile -t services < <(palisade service list -q 2>/dev/null)
		if [ ${#services[@]} -gt 0 ]; then
			palisade service rm "${services[@]}" --wait --timeout 40s -q >/dev/null || left="what is left is above"
		fi
		stop_daemon "$daemon"
		done_in "$(removed ${#services[@]}) and the appliance has ended; $left"
	fi
	rm -f "$HERE/daemon.pid"
	exit "$status"
}

# --- The way up -------------------------------------------------------------------------------------------------------

mkdir -p "$HERE" 2>/dev/null || fail "$HERE cannot be made" "name a place that you may write to: PALISADE_CACHE=... make run"
exec 8>"$HERE/lock"
flock -n 8 || fail "it is running already, in another terminal" "its log: $LOG"

step "looking for what is needed"
engine=$(command -v llama-server || true)
[ -z "$engine" ] || "$engine" --version >/dev/null 2>&1 || engine=
if [ -n "$engine" ]; then .ci/deps build run 8>&-; else .ci/deps build engine run 8>&-; fi
done_in "all there"

step "building Palisade"
make -s session-init 8>&- || fail "the build failed; the compiler's words are above"
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
patiently env CGO_ENABLED="${CGO_ENABLED:-1}" go build -trimpath -tags=netgo,osusergo -ldflags "-s -w -X main.linked=$version" -o bin/ \
	./appliance/cmd/palisade ./model-definitions/hello/mkhello 8>&- || fail "the build failed; the compiler's words are above"
done_in "bin/palisade $version"

step "the engine: llama.cpp's llama-server"
if [ -n "$engine" ]; then
	echo "    this box has one"
	engine=$(dirname "$engine")
else
	engine=$(firmware-images/engines/llama-cpp/build.sh 8>&-) || fail "the engine could not be built; the reason is above"
fi
done_in "$engine"

step "the model: one sentence, 1.3 MB"
mkdir -p "$MODEL"
bin/mkhello -o "$MODEL/hello.gguf"
cp model-definitions/hello/model-definition.yaml model-definitions/hello/README.md "$MODEL/"
done_in "$MODEL"

# An appliance that a killed run has left behind: the new one takes its sessions over.
if left=$(cat "$HERE/daemon.pid" 2>/dev/null) && alive "$left" && grep -qa -- "$DATA" "/proc/$left/cmdline" 2>/dev/null; then
	step "an appliance of an earlier run is still up (pid $left): stopping it; its sessions go on"
	stop_daemon "$left"
	done_in "ended"
fi

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=${PALISADE_PORT:-8080}
if taken "$port"; then
	[ -z "${PALISADE_PORT:-}" ] || fail "port $port is taken" "choose another: PALISADE_PORT=... make run"
	for port in $(seq 8081 8199) ''; do
		[ -n "$port" ] || fail "no port from 8080 to 8199 is free" "name one: PALISADE_PORT=... make run"
		taken "$port" || break
	done
	echo "    port 8080 is taken; $port is free"
fi
base=http://127.0.0.1:$port

step "starting the appliance on $base"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$DATA"
[ -O "$DATA" ] || fail "$DATA belongs to someone else" "name another place: PALISADE_CACHE=... make run"
chmod 700 "$DATA"
(umask 077 && : >"$LOG" && : >"$FIRST")
# A session of its own, so that Ctrl-C reaches this script and not the daemon: the order of ending matters.
PATH=$engine:$PATH setsid "$PALISADE" serve --data "$DATA" --listen "127.0.0.1:$port" >"$FIRST" 2>>"$LOG" 8>&- &
daemon=$!
echo "$daemon" >"$HERE/daemon.pid"
ready() { curl -fsS -o /dev/null --max-time 2 "$base/readyz" 2>/dev/null; }
ready_or_dead() { ready || gone "$daemon"; }
if ! wait_until 30 ready_or_dead || gone "$daemon"; then
	tail -n 20 "$LOG" >&2
	fail "the appliance did not get ready; the end of its log is above" "the whole log: $LOG"
fi
done_in "ready, pid $daemon, log $LOG"

step "a service with its routes"
palisade folder list -q | grep -qFx "$NAME" || palisade folder import "$MODEL" --name "$NAME" -q >/dev/null
routes=2
[ "$(id -u)" -eq 0 ] || routes=1
if no_service; then
	if [ "$routes" -eq 1 ]; then
		echo "    one route: only root may give each session a network of its own, and two engines want one port"
	fi
	set -- service create host "$NAME" "$routes" --runtime-variant custom --name "$NAME" --wait --timeout 2m
	printf '    %spalisade %s%s\n' "$dim" "$*" "$off"
	palisade "$@" 2>&1 | sed 's/^/    /' || fail "the service did not get healthy; the reason is above" "the appliance's log: $LOG"
else
	echo "    service $NAME of an earlier run is there still"
	healthy() { palisade service list --status HEALTHY -q 2>/dev/null | grep -qFx "$NAME"; }
	wait_until 60 healthy || {
		palisade service info "$NAME" >&2 || true
		fail "the service does not get healthy" "the appliance's log: $LOG"
	}
fi
done_in "healthy"

token=$(palisade service generate-token "$NAME" --duration 1d --name first-light -q)
endpoint=$(palisade service get-endpoint "$NAME" -q)

# --- The question -----------------------------------------------------------------------------------------------------

question="What is a palisade?"
body='{"model":"'$NAME'","stream":true,"messages":[{"role":"user","content":"'$question'"}]}'
step "asking: $question"
printf '    '
words=0 first='' problem=''
while IFS= read -r line; do
	if [[ $line =~ \"content\":\"(([^\"\\]|\\.)*)\" ]]; then
		[ -n "$first" ] || first=$(($(now) - step_begun))
		printf '%s%b%s' "$bold" "${BASH_REMATCH[1]}" "$off"
		words=$((words + 1))
	elif [[ $line == *'"error"'* || ($line != data:* && -n $line) ]]; then
		problem+=$line
	fi
done < <(curl -sSN --max-time 60 "$base/v1/chat/completions" -H "Authorization: Bearer $token" \
	-H 'Content-Type: application/json' -d "$body" 2>&1)
echo
[ "$words" -gt 0 ] || problem=${problem:-the stream was empty}
[ -z "$problem" ] || fail "the model did not answer: $problem" "the appliance's log: $LOG"
printf '    %s%d words, the first after %d ms, the last after %d ms%s\n' "$dim" "$words" $((first / 1000)) $((($(now) - step_begun) / 1000)) "$off"

cat <<TEXT

${bold}First light.${off} Up and answered after $(seconds $(($(now) - begun))).

  endpoint  $base/v1  ${dim}(model: $NAME)${off}
            $endpoint/  ${dim}(this service alone)${off}
  token     $token  ${dim}(valid for a day)${off}

${bold}Ask it with curl:${off}

  curl -N $base/v1/chat/completions \\
    -H 'Authorization: Bearer $token' -H 'Content-Type: application/json' \\
    -d '$body'

${bold}or with Python${off} (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="$base/v1", api_key="$token")
  for chunk in client.chat.completions.create(model="$NAME", stream=True,
          messages=[{"role": "user", "content": "$question"}]):
      print(chunk.choices[0].delta.content or "", end="", flush=True)

${bold}Look around${off} from another terminal:

  export PALISADE_DATA=$DATA
  bin/palisade chat $NAME
  bin/palisade service info $NAME
  bin/palisade service $([ "$routes" -eq 1 ] && echo "routes $NAME" || echo "scale $NAME 3")
  bin/palisade session list
  bin/palisade service events $NAME
  bin/palisade catalog list        # models that one line installs: bin/palisade install NAME

TEXT
if [ -s "$FIRST" ]; then
	printf '%sThe console:%s\n' "$bold" "$off"
	cat "$FIRST"
else
	printf '%sThe console:%s %s/console/  %s(a password that was lost: bin/palisade user reset admin)%s\n\n' "$bold" "$off" "$base" "$dim" "$off"
fi
rm -f "$FIRST"
[ -z "$once" ] || exit 0
echo "Ctrl-C removes the service and stops the appliance."
trap 'exit 0' INT
status=0
wait "$daemon" || status=$?
fail "the appliance has ended by itself (exit status $status)" "its log: $LOG"
