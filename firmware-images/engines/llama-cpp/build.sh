#!/usr/bin/env bash
# Builds llama.cpp's own llama-server, and the ggml-rpc-server of its workers on other boxes, into the cache and prints the
# directory they lie in.
#
#   firmware-images/engines/llama-cpp/build.sh [--jobs N]
#
# The last line of stdout is that directory; all else goes to stderr. What is built already is found in
# a few milliseconds. An interrupted build goes on where it stopped; of two builders at once, one waits.
#
# Two packages of one release bring everything: node-llama-cpp carries llama.cpp's sources as a git
# bundle, @node-llama-cpp/linux-* the compiled libllama and libggml with a CPU backend for every kind of
# processor. Only the servers and what joins them are compiled here. Both are held to their checksums, so what is built
# is what was reviewed. Needs g++, git and npm; no cmake, no root.
set -euo pipefail

PACKAGES=3.22.1 # of node-llama-cpp; with it goes llama.cpp's release and the names of its libraries:
LIBRARIES=v0.5.0
RECIPE=1 # raise when anything below changes what comes out
WHOLE_SHA512=6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f
case $(uname -s)-$(uname -m) in
Linux-x86_64)
	ARCH=linux-x64
	LIBS_SHA512=e6e0820cda9608d7da026f1a47f533c5ba381c1a4a80d17dd640873dea4a86032057638099ab6879f6ce94c8a1b2a0a21f639ddf913f7941d00856df44126e3a
	;;
Linux-aarch64)
	ARCH=linux-arm64
	LIBS_SHA512=5beee768a0975fdfde1238c59914bcbefc7dd50c8b5c36de1717b165cddb87f3ed40005982644bdc2d00b586179f86064e3ff7428af8956667dada636453cb75
	;;
*)
	echo "llama-server: no prebuilt libraries for $(uname -s) on $(uname -m): this recipe knows Linux on x86_64 and aarch64." >&2
	exit 1
	;;
esac

say() { printf 'llama-server: %s\n' "$*" >&2; }
die() {
	say "$1"
	shift
	[ $# -eq 0 ] || printf '  %s\n' "$@" >&2
	exit 1
}

JOBS=${JOBS:-$(nproc)}
while [ $# -gt 0 ]; do
	case $1 in
	--jobs)
		JOBS=${2:?--jobs needs a number}
		shift 2
		;;
	*) die "unknown argument $1" "usage: build.sh [--jobs N]" ;;
	esac
done

CACHE=${PALISADE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PALISADE_CACHE: the engine is kept in a cache}/.cache}/palisade}
ROOT=$CACHE/llama-cpp/$PACKAGES-$RECIPE-$ARCH
BIN=$ROOT/bin
WORK=$ROOT/work

# BIN appears whole, by a rename, or not at all; the servers of workers come into it last. To find them is to be done.
found() { [ -x "$BIN/ggml-rpc-server" ] && {
	echo "$BIN"
	exit 0
}; }
found || true

missing=()
for tool in g++ gcc git npm flock tar sha512sum xargs; do
	command -v "$tool" >/dev/null || missing+=("$tool")
done
[ ${#missing[@]} -eq 0 ] || die "these tools are missing: ${missing[*]}" \
	"on Debian and Ubuntu: apt-get install --no-install-recommends g++ git npm   (or as root: .ci/deps engine)" \
	"an engine of your own does as well: put its directory in PATH before 'palisade serve'"

mkdir -p "$ROOT"
exec 9>"$ROOT/lock"
if ! flock -n 9; then
	say "another build is under way; waiting for it"
	until flock -w 10 9; do
		say "still waiting: it has compiled $(wc -c 2>/dev/null <"$WORK/count" || echo 0) files"
	done
	found || true
fi
mkdir -p "$WORK/obj"
cd "$WORK"
started=$SECONDS

# fetch PACKAGE SHA512 FILE: the package's tarball, held to its checksum. npm pack brings one package
# without its dependencies and runs none of its scripts.
fetch() {
	local sum got
	if [ ! -f "$3" ]; then
		say "fetching $1@$PACKAGES"
		mkdir -p incoming
		rm -f incoming/*
		got=$(npm pack --loglevel=error --pack-destination incoming "$1@$PACKAGES" 9>&- 2>npm.log) || {
			tail -n 5 npm.log >&2
			die "npm could not fetch $1@$PACKAGES" "is the registry reachable? 'npm ping' says; then run this again"
		}
		sum=$(sha512sum <"incoming/$(tail -n 1 <<<"$got")")
		[ "${sum%% *}" = "$2" ] || die "$1@$PACKAGES is not what it was: its sha512 is ${sum%% *}" \
			"expected $2" "nothing was built; do not use this registry or mirror before you know why"
		mv "incoming/$(tail -n 1 <<<"$got")" "$3"
	fi
}
fetch node-llama-cpp "$WHOLE_SHA512" source.tgz
if [ ! -d src ]; then
	say "unpacking llama.cpp's sources"
	rm -rf src.new bundle.git
	mkdir src.new
	tar -xzf source.tgz --no-same-owner --strip-components=2 package/llama/gitRelease.bundle
	git clone --quiet --bare gitRelease.bundle bundle.git 9>&- 2>git.log || {
		cat git.log >&2
		die "the source bundle does not open"
	}
	git -C bundle.git archive HEAD LICENSE common ggml include src tools/mtmd tools/rpc tools/server tools/ui vendor |
		tar -xf - --no-same-owner -C src.new
	rm -rf bundle.git gitRelease.bundle
	mv src.new src
fi

S=$WORK/src
O=$WORK/obj
DEFINES="-O1 -w -DNDEBUG -DGGML_SHARED -DGGML_BACKEND_SHARED"

# build_server leaves llama-server in BIN, with the libraries that it needs.
build_server() {
	fetch "@node-llama-cpp/$ARCH" "$LIBS_SHA512" libs.tgz
	if [ ! -d libs ]; then
		rm -rf libs.new
		mkdir libs.new
		tar -xzf libs.tgz --no-same-owner -C libs.new --strip-components=3 "package/bins/$ARCH"
		mv libs.new libs
	fi
	# The web UI, with no pages in it: llama.cpp's own templates, filled in with nothing.
	sed -e '/#cmakedefine/d; s/@N_ASSETS@/0/' "$S/tools/ui/ui.h.in" >"$O/ui.h"
	sed -e 's/@ASSET_ARRAYS@//; s/@ASSET_TABLE@//; s/@N_ASSETS@/0/; s/@USE_GZIP@/false/' "$S/tools/ui/ui.cpp.in" >"$O/ui.cpp"

	FLAGS="$DEFINES -DLLAMA_SHARED -DLLAMA_SUBPROCESS"
	for dir in "$O" "$S" "$S/include" "$S/ggml/include" "$S/ggml/src" "$S/src" "$S/common" "$S/tools/mtmd" \
		"$S/tools/server" "$S/vendor" "$S/vendor/hash"; do
		FLAGS+=" -I$dir"
	done

	# The largest files first, so that no core is left alone with a long one at the end.
	mapfile -t FILES < <(
		find "$O/ui.cpp" "$S"/tools/server/*.cpp "$S"/tools/mtmd/*.cpp "$S"/tools/mtmd/models/*.cpp \
			"$S"/vendor/hash/hash.cpp "$S"/vendor/hash/{sha1/sha1,xxhash/xxhash,sha256/sha256}.c \
			! -name '*mtmd-cli*' ! -name '*deprecation*' -printf '%s %p\n' | sort -rn | cut -d' ' -f2-
	)

	# compile FILE: one object, by a rename, so that an interrupted one is not taken for a whole one.
	compile() {
		local name object
		name=${1#"$S/"}
		name=${name#"$O/"}
		object=$O/${name//\//_}.o
		if [ ! -f "$object" ]; then
			# shellcheck disable=SC2086 # FLAGS is a list of words
			case $1 in
			*/xxhash.c | */sha256.c) gcc $FLAGS -c "$1" -o "$object.$$" ;;
			*) g++ -std=c++17 $FLAGS -x c++ -c "$1" -o "$object.$$" ;;
			esac
			mv "$object.$$" "$object"
		fi
		printf '+' >>"$WORK/count"
		printf 'llama-server: compiling %d/%d %s\n' "$(wc -c <"$WORK/count")" "$TOTAL" "$name" >&2
	}
	TOTAL=${#FILES[@]}
	export -f compile
	export S O WORK FLAGS TOTAL
	: >count
	say "compiling $TOTAL files with $JOBS jobs (about two and a half minutes on two cores, once)"
	# Two files in three begin with this header: it is read once.
	HEADER=$S/tools/mtmd/models/models.h
	if [ ! -f "$HEADER.gch" ]; then
		# shellcheck disable=SC2086 # FLAGS is a list of words
		g++ -std=c++17 $FLAGS -x c++-header "$HEADER" -o "$HEADER.part" 9>&-
		mv "$HEADER.part" "$HEADER.gch"
	fi
	# shellcheck disable=SC2016 # the inner shell expands it
	printf '%s\0' "${FILES[@]}" | xargs -0 -P "$JOBS" -I{} bash -euc 'compile "$1"' compile {} 9>&- ||
		die "the compiler failed; its words are above" "what was compiled is kept: run this again to go on from there"

	say "linking"
	rm -rf bin
	mkdir bin
	# shellcheck disable=SC2016 # the loader expands it
	g++ -o bin/llama-server "$O"/*.o -Llibs -lllama-common "-l:libllama.$LIBRARIES.so" "-l:libggml.$LIBRARIES.so" -lggml-base \
		-lpthread -ldl -Wl,-rpath,'$ORIGIN' 9>&- || die "linking failed; the linker's words are above"
	# ggml looks for its CPU backends beside the executable.
	cp libs/*.so bin/
	cp src/LICENSE bin/LICENSE.llama.cpp
	bin/llama-server --version >version.log 2>&1 9>&- || {
		tail -n 5 version.log >&2
		die "what was built does not start on this machine" "the libraries need a C++ runtime as new as Debian 12's"
	}
	rm -rf "$BIN"
	mv -T bin "$BIN"
}

# build_rpc adds to BIN the backend by which llama-server uses other boxes, which it finds beside it, and what they run.
build_rpc() {
	say "compiling the server of workers"
	rm -rf rpc
	mkdir rpc
	# shellcheck disable=SC2016,SC2086 # DEFINES is a list of words, and the loader expands ORIGIN
	{
		g++ -std=c++17 $DEFINES -DGGML_BACKEND_DL -DGGML_BACKEND_BUILD -I"$S/ggml/include" -I"$S/ggml/src" -fPIC -shared -o rpc/libggml-rpc.so \
			"$S"/ggml/src/ggml-rpc/ggml-rpc.cpp "$S"/ggml/src/ggml-rpc/transport.cpp -L"$BIN" -lggml-base -lpthread -Wl,-rpath,'$ORIGIN' 9>&- &&
			g++ -std=c++17 $DEFINES -DGGML_BACKEND_DL -I"$S/ggml/include" -I"$S/ggml/src" -o rpc/ggml-rpc-server \
				"$S"/tools/rpc/rpc-server.cpp -L"$BIN" "-l:libggml.$LIBRARIES.so" -lggml-base -lpthread -ldl -Wl,-rpath,'$ORIGIN' 9>&-
	} || die "the compiler failed; its words are above"
	mv rpc/libggml-rpc.so "$BIN/"
	mv rpc/ggml-rpc-server "$BIN/"
}

if [ ! -x "$BIN/llama-server" ]; then
	build_server
fi
build_rpc
cd "$ROOT"
rm -rf "$WORK"
say "ready after $((SECONDS - started)) s: $BIN"
echo "$BIN"
