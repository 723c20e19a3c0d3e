#!/bin/sh
# Run in the root of the image when all packages and code-server are there.
set -eu
test -x /opt/code-server/bin/code-server
ln -s ../../../opt/code-server/bin/code-server /usr/local/bin/code-server
