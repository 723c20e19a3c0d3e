#!/bin/sh
# Run in the root of the image when all packages are there.
set -eu
# Tests of libraries: a hundred megabytes that nobody runs here.
cd /usr/lib/python3/dist-packages
find . -type d -name tests -path './*/tests' -prune -exec rm -rf {} +
