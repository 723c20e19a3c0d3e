#!/bin/sh
# Run in the root of the image, and of every image that adds to it, when all packages are there.
set -eu

groupadd --gid 1000 work
useradd --uid 1000 --gid 1000 --home-dir /home/work --create-home --shell /bin/bash --comment "" work

# Nobody logs in at this image's own sshd, if one runs, but by a key that the session made.
mkdir -p /etc/ssh/sshd_config.d
printf 'PasswordAuthentication no\nPermitRootLogin no\nUsePAM no\n' >/etc/ssh/sshd_config.d/palisade.conf

# vi by its short name, whatever else provides one.
[ -e /usr/bin/vi ] || ln -s vim.tiny /usr/bin/vi
