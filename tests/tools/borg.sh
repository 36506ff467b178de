#!/usr/bin/env bash
# Prints the directory of Python packages that has borg in it (`PYTHONPATH=DIRECTORY python3 -m borg`), built by pip the first
# time: a minute.
#   borg.sh DIRECTORY VERSION
set -euo pipefail
say() { printf 'borg.sh: %s\n' "$*" >&2; }
[ $# = 2 ] || { say "usage: borg.sh DIRECTORY VERSION"; exit 2; }
mkdir -p "$1"
home=$(realpath "$1")/borg-$2
headers=(liblz4-dev libxxhash-dev libacl1-dev libzstd-dev libssl-dev python3-dev python3-pip pkg-config gcc)
if [ ! -d "$home" ]; then
    command -v dpkg-query >/dev/null || { say "there is no dpkg here"; exit 1; }
    missing=()
    for package in "${headers[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
    done
    if [ "${#missing[@]}" != 0 ]; then
        [ "$(id -u)" = 0 ] || { say "to build borg, install first: ${missing[*]}"; exit 1; }
        say "installing ${missing[*]}"
        DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >&2
    fi
    say "building borg $2"
    rm -rf "$home.new"
    nice -n 19 /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --no-compile --root-user-action=ignore \
        --no-binary=borgbackup --target "$home.new" "borgbackup==$2" >&2
    /usr/bin/python3 -m compileall -q "$home.new" >&2
    mv "$home.new" "$home"
fi
printf '%s\n' "$home"
