#!/usr/bin/env bash
# Trains a model in a pipeline and serves it, in an appliance of its own on loopback, until Ctrl-C.
#
#   examples/train-and-serve/run.sh [--once]      --once: ends after the answer
#
# It needs root, or a containerd that this user may use: sessions are containers here. The image that they run is built
# first, which takes a few minutes once. On Ctrl-C the service is removed and the appliance stopped: nothing is left
# running. Images and the appliance's data stay in the cache.
#
#   PALISADE_PORT   the port to listen on (default: 8080)
#   PALISADE_CACHE  where all that is built and kept lies (default: ~/.cache/palisade)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in
'' | --once) once=${1:-} ;;
*)
	echo "usage: examples/train-and-serve/run.sh [--once]" >&2
	exit 2
	;;
esac
CACHE=${PALISADE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PALISADE_CACHE}/.cache}/palisade}
DATA=$CACHE/train-and-serve
# A unix socket's path has at most 107 bytes, and containerd keeps some deep in the data.
[ ${#DATA} -le 45 ] || DATA=/var/tmp/palisade-train-and-serve-$(id -u)
LISTEN=127.0.0.1:${PALISADE_PORT:-8080}
palisade() { bin/palisade --data "$DATA" "$@"; }
step() { printf '==> %s\n' "$*"; }

[ "$(id -u)" -eq 0 ] || {
	echo "train-and-serve: it starts containers, which needs root: sudo -E $0 ${once:-}" >&2
	exit 1
}
step "building Palisade and the image palisade/pytorch-cpu"
make -s build
make -s images ARGS=pytorch-cpu >/dev/null

daemon=
finish() {
	local status=$?
	trap '' INT TERM HUP
	if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
		step "stopping"
		palisade service rm capitals --wait >/dev/null 2>&1 || true
		kill -TERM "$daemon"
		wait "$daemon" || true
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

step "starting an appliance on $LISTEN, its log in $DATA/palisade.log"
mkdir -p "$DATA"
setsid bin/palisade serve --data "$DATA" --listen "$LISTEN" --runtime containerd --containerd private >"$DATA/palisade.log" 2>&1 &
daemon=$!
for _ in $(seq 300); do
	palisade doctor >/dev/null 2>&1 && break
	kill -0 "$daemon" 2>/dev/null || {
		tail -n 5 "$DATA/palisade.log" >&2
		exit 1
	}
	sleep 0.1
done
palisade image list -q | grep -q 'palisade/pytorch-cpu:latest' || {
	step "importing the image"
	palisade image import "$CACHE/images/pytorch-cpu.oci.tar"
}
palisade folder list -q | grep -qx capitals || palisade folder import "$PWD/examples/train-and-serve/capitals" >/dev/null

step "training, examining and serving: the pipeline of examples/train-and-serve/pipeline.yaml"
palisade pipeline run examples/train-and-serve/pipeline.yaml --wait
token=$(palisade service generate-token capitals --duration 24h -q)

step "asking it something"
ask='{"model": "capitals", "messages": [{"role": "user", "content": "Which city is the capital of Nepal?"}]}'
printf "curl -s http://%s/v1/chat/completions -H 'Authorization: Bearer %s' -d '%s'\n" "$LISTEN" "$token" "$ask"
curl -fsS "http://$LISTEN/v1/chat/completions" -H "Authorization: Bearer $token" -d "$ask"
echo
[ -n "$once" ] || {
	step "it is up until Ctrl-C"
	wait "$daemon"
}
