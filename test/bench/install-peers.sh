#!/usr/bin/env bash
# Installs the servers that `npm run bench` compares with, outside of the tree: Haraka from npm, Postfix and pymilter from Debian where this is root.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/onarrival-bench"
mkdir -p "$cache"
npm install --prefix "$cache" --ignore-scripts --no-audit --no-fund --omit=dev Haraka@3.3.4

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  apt-get update
  RUNLEVEL=1 apt-get install -y --no-install-recommends postfix python3-milter
else
  echo "Postfix and pymilter are not installed by this user: apt-get install postfix python3-milter"
fi
