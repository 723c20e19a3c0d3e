#!/bin/sh
# Run in the root of the image when all packages are there.
set -eu
# Tests of libraries: a hundred megabytes that nobody runs here.
cd /usr/lib/python3/dist-packages
find . -type d -name tests -path './*/tests' -prune -exec rm -rf {} +

# torchrun of this PyTorch cannot start anything with this Python, which no longer counts 0 among the values of a flag.
api=torch/distributed/elastic/multiprocessing/api.py
grep -q '^ *for s in Std:$' "$api"
sed -i 's/^\( *\)for s in Std:$/\1for s in Std.__members__.values():/' "$api"
# Its compiled form is held to its time, which must not be that of the build.
touch -d 2025-01-01T00:00:00Z "$api"
python3 -m py_compile "$api"
