#!/bin/sh
# Builds, in a root of its own that is thrown away, what fetch.sh has brought, into the directory that is given.
set -eu
target=$1
here=$PWD
export PATH="$here/node/bin:$PATH" HOME="$here" npm_config_devdir="$here/none"

modules=$here/code-server/lib/vscode/node_modules
for module in @vscode/spdlog @vscode/native-watchdog; do
	cd "$modules/$module"
	JOBS=max node "$here/npm/node_modules/node-gyp/bin/node-gyp.js" rebuild --nodedir="$here/node" >build.log 2>&1 || {
		cat build.log >&2
		exit 1
	}
	# Of a build only what is loaded is kept.
	find build -type f ! -name '*.node' -delete
	rm -rf build.log deps src build/Release/.deps build/Release/obj.target
	find build -depth -type d -empty -delete
done

# Native parts that a session would miss only when somebody is at work in it are tried here.
cd "$here/code-server/lib/vscode"
node --input-type=module -e '
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/package.json");
for (const name of ["@vscode/spdlog", "@vscode/native-watchdog", "node-pty", "@parcel/watcher"]) require(name);
const { execFileSync } = require("node:child_process");
const { readdirSync } = require("node:fs");
const rg = "node_modules/@vscode/ripgrep-universal/bin/" + readdirSync("node_modules/@vscode/ripgrep-universal/bin")[0] + "/rg";
execFileSync(rg, ["--version"]);
'
cd "$here/code-server"
node -e 'require("argon2")'

# The helpers that a terminal of the editor finds in its PATH.
ln -sf code-linux.sh lib/vscode/bin/remote-cli/code-server
ln -sf browser-linux.sh lib/vscode/bin/helpers/browser.sh

mkdir -p "$target/bin" "$target/node/bin"
cp "$here/node/bin/node" "$target/node/bin/node"
cp "$here/node/LICENSE" "$target/node/LICENSE"
find . -name '*.map' -delete
cp -a . "$target/app"
cat >"$target/bin/code-server" <<'SCRIPT'
#!/bin/sh
exec /opt/code-server/node/bin/node /opt/code-server/app/out/node/entry.js "$@"
SCRIPT
chmod 755 "$target/bin/code-server"

# Which packages these are, and under which licences.
"$target/node/bin/node" - "$target/app" >"$target/npm-packages.tsv" <<'SCRIPT'
const fs = require("node:fs");
const lines = new Set();
for (const file of fs.readdirSync(process.argv[2], { recursive: true })) {
  if (!/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(file)) continue;
  const p = JSON.parse(fs.readFileSync(`${process.argv[2]}/${file}`, "utf8"));
  const licence = p.license && typeof p.license === "object" ? p.license.type : p.license;
  if (p.name && p.version) lines.add([p.name, p.version, licence || "see its LICENSE"].join("\t"));
}
console.log([...lines].sort().join("\n"));
SCRIPT
chown -R 0:0 "$target"
