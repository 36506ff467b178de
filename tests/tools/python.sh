#!/usr/bin/env bash
# Prints a directory for PYTHONPATH that holds these Python packages, with what they need: installed there by pip, not on the
# machine, so that it takes no root. Its folder `bin` holds their programs.
#   python.sh DIRECTORY PACKAGE==VERSION...
set -euo pipefail
say() { printf 'python.sh: %s\n' "$*" >&2; }
[ $# -ge 2 ] || { say "usage: python.sh DIRECTORY PACKAGE==VERSION..."; exit 2; }
mkdir -p "$1"
home=$(realpath "$1")/python-$(printf '%s ' "${@:2}" | tr -c 'a-zA-Z0-9.\n' '-')

if [ ! -d "$home" ]; then
    # Two tests may want it at the same moment.
    exec 9>"$home.lock"
    flock 9
fi
if [ ! -d "$home" ]; then
    python3 -m pip --version >/dev/null 2>&1 || { say "there is no python3 with pip here (Debian: python3-pip)"; exit 1; }
    new=$(mktemp -d "$home.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --only-binary=:all: --target "$new" "${@:2}" >&2
    mv -T "$new" "$home"
fi
printf '%s\n' "$home"
