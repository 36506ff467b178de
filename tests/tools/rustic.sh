#!/usr/bin/env bash
# Prints the path of rustic, built by cargo the first time: one core, at the lowest priority, so that it disturbs nobody. That
# takes a quarter of an hour; what an interrupted build has done is used by the next.
#   rustic.sh DIRECTORY VERSION
set -euo pipefail
say() { printf 'rustic.sh: %s\n' "$*" >&2; }
[ $# = 2 ] || { say "usage: rustic.sh DIRECTORY VERSION"; exit 2; }
mkdir -p "$1"
home=$(realpath "$1")/rustic-$2
program=$home/bin/rustic
if [ ! -x "$program" ]; then
    command -v cargo >/dev/null || { say "there is no cargo here"; exit 1; }
    say "building rustic $2"
    # From a directory that has no configuration of cargo's, and without ours from the environment.
    (cd / && env -u CARGO_TARGET_DIR -u RUSTFLAGS -u RUSTUP_TOOLCHAIN nice -n 19 \
        cargo install --quiet --locked --jobs 1 --root "$home" --target-dir "$home/build" "rustic-rs@$2") >&2
    rm -rf "$home/build"
fi
printf '%s\n' "$program"
