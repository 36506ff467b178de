#!/usr/bin/env bash
# Prints the path of a file out of a Debian package: downloaded by apt with lists and cache of its own, unpacked, not
# installed, so that it takes no root and leaves the system's apt alone. For data, for programs that stand alone (restic, age)
# or whose libraries every Debian has (zstd).
#   peer.sh DIRECTORY SUITE PACKAGE FILE     SUITE: a release's name, or `own` for this machine's; FILE: the end of its path
set -euo pipefail
say() { printf 'peer.sh: %s\n' "$*" >&2; }
[ $# = 4 ] || { say "usage: peer.sh DIRECTORY SUITE PACKAGE FILE"; exit 2; }
mkdir -p "$1"
directory=$(realpath "$1") suite=$2 package=$3 file=$4
for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || { say "there is no $tool here to fetch $package with"; exit 1; }
done
[ "$suite" != own ] || suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
home=$directory/$suite
unpacked=$home/$package

find_file() { find "$unpacked" -path "*/$file" -type f -print -quit 2>/dev/null || true; }

found=$(find_file)
if [ -z "$found" ]; then
    # The mirror that this machine uses already, in either of the two forms that apt's sources have.
    mirror=$(
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null || true
        sed -n 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true
    )
    mirror=$(printf '%s\n' "$mirror" | grep -E '/debian/?$' | head -1 || true)
    [ -n "$mirror" ] || { say "apt's sources name no Debian mirror to fetch $package from"; exit 1; }
    mkdir -p "$home"/lists/partial "$home"/cache/archives/partial "$home"/download
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$home/sources.list"
    apt=(
        apt-get -q -o Dir::Etc::sourcelist="$home/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$home/lists"
        -o Dir::Cache="$home/cache" -o APT::Sandbox::User="$(id -un)"
    )
    compgen -G "$home/lists/*Packages*" >/dev/null || "${apt[@]}" update >&2
    (cd "$home/download" && rm -f "$package"_*.deb && "${apt[@]}" download "$package" >&2)
    rm -rf "$unpacked.new" "$unpacked"
    dpkg -x "$home"/download/"$package"_*.deb "$unpacked.new"
    mv "$unpacked.new" "$unpacked"
    rm -f "$home"/download/"$package"_*.deb
    found=$(find_file)
fi
[ -n "$found" ] || { say "the package $package of $suite has no file $file"; exit 1; }
printf '%s\n' "$found"
