#!/bin/sh
# Gets data out of a dozo repository (format 1, FORMAT.md) without dozo.
#
#   recover.sh REPOSITORY OWNER_KEY                      lists the snapshots
#   recover.sh REPOSITORY OWNER_KEY SNAPSHOT             lists what is in one: kind, bytes, path
#   recover.sh REPOSITORY OWNER_KEY SNAPSHOT PATH        writes one file's content to standard output
#   recover.sh REPOSITORY OWNER_KEY SNAPSHOT --all DIR   restores everything into DIR, which must be new or empty
#
# REPOSITORY is a directory; copy a bucket to a disk first. OWNER_KEY is a file that `age -d -i` takes: an age identity,
# encrypted or not, a plugin's, an SSH key; or `-` for an owner who is a passphrase, which is asked for, once for each
# epoch. SNAPSHOT is an id or its first digits. PATH is spelled as it is listed, escapes and all.
#
# Needs age, zstd, jq and GNU coreutils (Debian: apt-get install age zstd jq). Works in a private directory in $TMPDIR
# (or /tmp), which holds decrypted keys and packs until it ends; with PATH also the whole content, because nothing is
# written out before all of it was checked.
#
# Checks the SHA-256 of every object against its name; that age and zstd accept it to its last byte; the length of every
# frame, chunk and file; the number of entries. What fails is named on standard error and left out, what is whole is
# restored all the same, and the exit status is 0 only if nothing was missing or damaged.
#
# Cannot check who wrote what it reads: the ids of chunks and the codes in documents are keyed BLAKE3. Whoever holds a
# host's key and can write to the store can forge; dozo would notice.
# Does not restore extended attributes, pipes, sockets and devices; sets owners only when run by root. Takes its time:
# about a hundred small files a second.

set -eu
# Bytes are bytes, and `sort` and `join` agree on their order.
export LC_ALL=C
umask 077
damaged=''
tab=$(printf '\t')

# Names what is wrong; the exit status will tell. Always fails, so that `… || bad "…" || return` gives up.
bad() { printf 'recover.sh: %s\n' "$*" >&2; damaged=yes; return 1; }
die() { bad "$*" || exit 1; }

case $# in 2 | 3 | 4) ;; 5) [ "$4" = --all ] || set -- ;; *) set -- ;; esac
[ $# -gt 0 ] || die "usage: recover.sh REPOSITORY OWNER_KEY [SNAPSHOT [PATH | --all DIR]]"
for tool in age zstd jq sha256sum dd join stat du; do
    command -v "$tool" > /dev/null || die "$tool is needed: apt-get install age zstd jq coreutils"
done
repository=$1
[ -d "$repository/keys" ] || die "$repository is no dozo repository: it has no keys/"
[ "$(jq '.format == 1' "$repository/dozo.json")" = true ] ||
    bad "dozo.json does not say that this is format 1; going on as if it did" || :
[ "$2" = - ] || [ -f "$2" ] || die "there is no key file $2"
part=''
tmp=$(mktemp -d "${TMPDIR:-/tmp}/recover.XXXXXX")
trap 'rm -rf "$tmp" ${part:+"$part"}' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$tmp/packs" "$tmp/frames"

# ---- Objects -------------------------------------------------------------------------------------------------------

# Decrypts an object into $tmp/plain. Its name ends with its digest; age fails on any change and on an early end.
unseal() { # OBJECT IDENTITIES
    [ -f "$repository/$1" ] || bad "$1 is missing" || return
    sum=$(sha256sum < "$repository/$1") || bad "$1 cannot be read" || return
    case $1 in *"${sum%% *}") ;; *) bad "$1 is damaged: its SHA-256 is not its name" || return ;; esac
    age -d -i "$2" "$repository/$1" > "$tmp/plain" 2> "$tmp/said" || bad "$1 does not open: $(cat "$tmp/said")"
}

# The body of a document into $tmp/body. zstd passes over the authentication code, which stands in a skippable frame.
document() { # OBJECT
    unseal "$1" "$tmp/catalog.key" || return
    zstd -dcq "$tmp/plain" > "$tmp/body" || bad "$1 does not decompress"
}

# Bytes of a file, to standard output.
bytes_of() { # FILE SKIP COUNT
    dd if="$1" iflag=skip_bytes,count_bytes bs=1M skip="$2" count="$3" status=none
}

# Keeps the caches small. A pack has 16 to 128 MiB, a frame up to 8.
make_room() { # DIRECTORY
    directory=$1
    set -- "$directory"/*
    [ $# -lt 8 ] || rm -f "$@"
}

# The plaintext of a frame: its file, which is only there if it is whole, is named in $frame.
open_frame() { # OBJECT START BYTES PLAIN_BYTES
    pack=$tmp/packs/${1##*/}
    frame=$tmp/frames/${1##*/}.$2
    [ ! -e "$frame" ] || return 0
    if [ ! -e "$pack" ]; then
        make_room "$tmp/packs"
        # The first folder of a pack's name says who can open it: packs or catalog.
        unseal "$1" "$tmp/${1%%/*}.key" && mv "$tmp/plain" "$pack" || return
    fi
    make_room "$tmp/frames"
    bytes_of "$pack" "$2" "$3" > "$tmp/compressed" && zstd -dcq "$tmp/compressed" > "$tmp/frame" ||
        bad "$1 is damaged: the frame at $2 does not decompress" || return
    [ "$(stat -c %s "$tmp/frame")" -eq "$4" ] || bad "$1 is damaged: the frame at $2 is not as long as its chunks" ||
        return
    mv "$tmp/frame" "$frame"
}

# A piece of a chunk, to standard output.
piece() { # CHUNK OFFSET LENGTH [OBJECT START BYTES PLAIN_BYTES CHUNK_START CHUNK_LENGTH]
    [ $# -eq 9 ] || bad "chunk $1 is in no pack that is there with the length that an index gives" || return
    [ $(($2 + $3)) -le "$9" ] || bad "chunk $1 is shorter than the snapshot says" || return
    open_frame "$4" "$5" "$6" "$7" && bytes_of "$frame" $(($8 + $2)) "$3"
}

# ---- JSON ----------------------------------------------------------------------------------------------------------

# What goes from here into a line for the shell is checked first: no space in an id, no tab or newline in a path.
lib='
def like($pattern): if type == "string" and test($pattern) then . else error("not well formed: \(tojson)") end;
def id: like("\\A[0-9a-f]{64}\\z");
def digits: like("\\A[0-9]+\\z");
def number: if type == "number" then floor | tostring | digits else error("not a number: \(tojson)") end;
def path: like("\\A([^%\\x00-\\x1f\\x7f]|%[0-9A-F]{2})+\\z");
def row: [
    (.kind | like("\\A[a-z-]+\\z")), (.size // "0" | digits), (.mode // "-" | like("\\A([0-7]{4}|-)\\z")),
    (if .uid then "\(.uid | number):\(.gid | number)" else "-" end),
    (if .modified then "@\(.modified | like("\\A-?[0-9]+[.][0-9]{9}\\z"))" else "-" end),
    (.target // "-" | path), (.path | path)] | join("\t");
# A line for each piece of content: chunk, offset, length. A list of extents has how many bytes it covers behind it.
def extent: "\(.[0] | id) \(.[1] | number) \(.[2] | number) -";
def wanted: ((.content // [])[] | extent), ((.extents // [])[] | "\(.[0] | id) 0 \(.[1] | number) \(.[2] | digits)"),
    "end 0 0 -";
# A line for each chunk of a pack that is there: chunk, object, start and bytes and plain bytes of the frame, start and
# length of the chunk in it.
def places: . as $pack
    | "\({data: "packs", catalog: "catalog"}[.kind])/\(.pack[:2])/\(.pack)" | select($there[0][.] == $pack.bytes)
    | . as $object | (foreach $pack.frames[] as $frame ([0, 0]; [.[1], .[1] + $frame.bytes];
        [$frame, "\($object) \(.[0] | number) \($frame.bytes | number) \([$frame.chunks[][1]] | add | number)"]))
    as [$frame, $place] | foreach $frame.chunks[] as $chunk ([0, 0]; [.[1], .[1] + $chunk[1]];
        "\($chunk[0] | id) \($place) \(.[0] | number) \($chunk[1] | number)");
'

json() { # FILTER FILE [OPTIONS…]
    filter=$1 file=$2
    shift 2
    jq "$@" "$lib $filter" "$file"
}

# Whether a file holds exactly one value that the filter is true of. (`jq -e` takes a file without any for true.)
holds() { # FILTER FILE [OPTIONS…]
    [ "$(json "$@")" = true ]
}

# Adds to each wanted line the place of its chunk, if it has one. The lines keep their order.
locate() { # WANTED PLAN
    cat -n "$1" > "$tmp/numbered" && sort -k 2,2 "$tmp/numbered" > "$tmp/sorted" &&
        join -1 2 -a 1 "$tmp/sorted" "$tmp/places" > "$tmp/joined" && sort -n -k 2,2 "$tmp/joined" > "$2" ||
        die "cannot sort in $tmp"
}

# Appends to a file the pieces that a plan on standard input names, as far as a line `end`. Reads on to there even if a
# piece is missing, so that the next file gets its own pieces; $missing tells. Calls itself for lists of extents.
pieces() { # FILE
    while read -r chunk _number offset length covered place && [ "$chunk" != end ]; do
        [ -z "$missing" ] || continue
        # $place is six words, or none.
        if [ "$covered" = - ]; then
            piece "$chunk" "$offset" "$length" $place >> "$1" || missing=yes
        elif piece "$chunk" "$offset" "$length" $place > "$tmp/list" && list_of_extents "$covered" "$chunk"; then
            pieces "$1" < "$tmp/list.plan"
        else
            missing=yes
        fi
    done
}

list_of_extents() { # COVERED CHUNK
    json 'if map(.[2]) | add | tostring == $covered then .[] | extent else error("wrong sum") end' "$tmp/list" \
        -s -r --arg covered "$1" > "$tmp/list.wanted" || bad "the list of extents in chunk $2 is damaged" || return
    locate "$tmp/list.wanted" "$tmp/list.plan"
}

# The next content of the plan on descriptor 4, into a file.
content() { # FILE BYTES
    missing=''
    : > "$1"
    pieces "$1" <&4
    [ -z "$missing" ] || return
    [ "$(stat -c %s "$1")" = "$2" ] || bad "the pieces of a file make $(stat -c %s "$1") bytes, not $2"
}

# ---- Keys ----------------------------------------------------------------------------------------------------------

# An owner's key file names its repository; keys/ has a document for each owner and each epoch.
pin=''
key=$2
[ "$key" = - ] ||
    while read -r a b c id; do [ "$a $b $c" != "# dozo repository:" ] || pin=$id; done < "$key"
open_key() { if [ "$key" = - ]; then age -d "$1"; else age -d -i "$key" "$1"; fi; }
for object in "$repository"/keys/*.age; do
    open_key "$object" > "$tmp/plain" 2>> "$tmp/refused" || continue
    zstd -dcq "$tmp/plain" > "$tmp/body" || bad "$object does not decompress" || continue
    holds '.schema == "dozo/key/1" and ($pin == "" or $pin == .repository)' "$tmp/body" --arg pin "$pin" ||
        bad "$object is for another repository than $2" || continue
    json '.catalog_identity' "$tmp/body" -r >> "$tmp/catalog.key"
    json '.data_identity' "$tmp/body" -r >> "$tmp/packs.key"
done
[ -s "$tmp/packs.key" ] || die "$2 opens none of $repository/keys/*: $(cat "$tmp/refused")"

# ---- Snapshots -----------------------------------------------------------------------------------------------------

if [ $# -eq 2 ]; then
    : > "$tmp/snapshots"
    for object in "$repository"/snapshots/*/*/*; do
    case ${object##*/} in *"#"*) continue ;; esac
        [ -e "$object" ] || die "there is no snapshot in $repository"
        document "${object#"$repository/"}" || continue
        # Names are quoted, so that they cannot play tricks on a terminal.
        json '[.started, $id, .status, (.manifest | "\(.entries) entries", "\(.bytes) bytes"),
            (.host.name, .job.name | tojson)] | join("\t")' "$tmp/body" -r --arg id "${object##*-}" \
            >> "$tmp/snapshots" || bad "$object is not well formed" || :
    done
    sort "$tmp/snapshots"
    [ -z "$damaged" ] || die "not every snapshot could be read"
    exit 0
fi

case $3 in *[!0-9a-f]* | '') die "$3 is no snapshot's id" ;; esac
id=$3
all=''
[ $# -lt 5 ] || all=$(realpath -m -- "$5")
path=${4-}
set -- "$repository"/snapshots/*/*/*-"$id"*
[ -e "$1" ] || die "there is no snapshot $id"
[ $# -eq 1 ] || die "$# snapshots have ids that begin with $id"
document "${1#"$repository/"}" || exit 1
mv "$tmp/body" "$tmp/snapshot"
holds '.schema == "dozo/snapshot/1" and .features == []' "$tmp/snapshot" ||
    die "the snapshot needs features that this script does not know"
json 'select(.status != "complete") | "this snapshot is partial, \(.omitted_count) could not be read when it was made:",
    (.omitted[] | map(tojson) | join(": "))' "$tmp/snapshot" -r >&2

# ---- Where all chunks are ------------------------------------------------------------------------------------------

# An index may name packs that were lost, and their chunks stored again since: only those count that have their length.
set --
for folder in packs catalog; do [ ! -d "$repository/$folder" ] || set -- "$@" "$repository/$folder"; done
[ $# -gt 0 ] || die "$repository has no packs"
du -a -b -l -L "$@" > "$tmp/sizes" || die "the packs cannot be listed"
jq -n -R 'reduce (inputs / "\t") as [$bytes, $file] ({};
    .[$file | split("/")[-3:] | join("/")] = ($bytes | tonumber))' "$tmp/sizes" > "$tmp/there"
: > "$tmp/indexes"
for object in "$repository"/index/*; do
    case ${object##*/} in *"#"*) continue ;; esac
    document "index/${object##*/}" || continue
    holds '.[0].schema == "dozo/index/1" and .[-1].packs == length - 2' "$tmp/body" -s ||
        bad "index/${object##*/} is not whole" || continue
    cat "$tmp/body" >> "$tmp/indexes"
done
json 'select(.pack) | places' "$tmp/indexes" -r --slurpfile there "$tmp/there" > "$tmp/unsorted" ||
    die "an index is not well formed"
sort -s -u -k 1,1 "$tmp/unsorted" > "$tmp/places"

# ---- The entries: a line for each, in segments that lie in catalog packs --------------------------------------------

holds '.manifest | .entries == (.segments | map(.entries) | add | tostring)' "$tmp/snapshot" ||
    die "the snapshot does not add up"
json '.manifest.segments[] | "\(.chunk | id) 0 \(.bytes | number) \(.entries | number)"' "$tmp/snapshot" -r \
    > "$tmp/wanted"
locate "$tmp/wanted" "$tmp/plan"
: > "$tmp/entries"
while read -r chunk _number _offset length count place <&3; do
    piece "$chunk" 0 "$length" $place > "$tmp/segment" && json 'select(has("path"))' "$tmp/segment" -c > "$tmp/lines" &&
        [ "$(wc -l < "$tmp/lines")" -eq "$count" ] && cat "$tmp/lines" >> "$tmp/entries" ||
        bad "a part of the list of entries cannot be read: $count entries are MISSING" || :
done 3< "$tmp/plan"

finish() {
    [ -z "$damaged" ] || die "something was missing or damaged, as said above; what was written is whole"
    exit 0
}

if [ -z "$path" ]; then
    json '[.kind, .size // "-", (.path | path)] | join("\t")' "$tmp/entries" -r
    finish
fi

if [ -z "$all" ]; then
    json 'select(.path == $path)' "$tmp/entries" -c --arg path "$path" > "$tmp/chosen"
    mv "$tmp/chosen" "$tmp/entries"
    holds '.kind == "file"' "$tmp/entries" || die "the snapshot has no file $path: $(cat "$tmp/entries")"
fi
json 'select(.kind == "file") | wanted' "$tmp/entries" -r > "$tmp/wanted"
locate "$tmp/wanted" "$tmp/plan"
exec 4< "$tmp/plan"
json row "$tmp/entries" -r > "$tmp/rows"

if [ -z "$all" ]; then
    IFS=$tab read -r _kind bytes _rest < "$tmp/rows"
    content "$tmp/content" "$bytes" || die "NOT RESTORED: $path"
    cat "$tmp/content"
    finish
fi

# ---- Everything, below a directory ---------------------------------------------------------------------------------

# An escaped path as the file system has it, in $name.
unescape() { # PATH
    case $1 in *%00*) bad "no file system has the name $1" || return ;; esac
    name=''
    rest=$1
    while case $rest in *%*) ;; *) false ;; esac; do
        digits=${rest#*%}
        # The full stop keeps a newline at the end.
        byte=$(printf "\\$(printf %03o "0x${digits%"${digits#??}"}").")
        name=$name${rest%%[%]*}${byte%.}
        rest=${rest#*%??}
    done
    name=$name$rest
}

# The same below the directory; a path that would lead out of it, or that names two files in one, is refused.
file_name() { # PATH
    case $1 in *%2F*) bad "no file system has the name $1" || return ;; esac
    unescape "$1" || return
    case /$name/ in *//* | */./* | */../*) bad "the path $1 leads elsewhere" || return ;; esac
    name=$all/$name
}

# Owner first, because to set it takes privileges from the mode.
metadata() { # FILE
    { [ "$owner" = - ] || [ "$user" -ne 0 ] || chown -h "$owner" "$1"; } &&
        { [ "$mode" = - ] || [ "$kind" = symlink ] || chmod "$mode" "$1"; } &&
        { [ "$modified" = - ] || touch -h -d "$modified" "$1"; } ||
        bad "the owner, mode or time of $path could not be set" || :
}

restore_file() {
    content "$part" "$bytes" && file_name "$path" && mv -T "$part" "$name" && metadata "$name"
}

restore_hardlink() {
    file_name "$target" && other=$name && file_name "$path" && ln -T "$other" "$name"
}

restore_symlink() {
    unescape "$target" && to=$name && file_name "$path" && ln -s -T "$to" "$name" && metadata "$name"
}

restore_directory() {
    file_name "$path" && metadata "$name"
}

# Calls a function for the entries of one kind.
each() { # KIND FUNCTION ROWS
    while IFS=$tab read -r kind bytes mode owner modified target path <&3; do
        [ "$kind" != "$1" ] || "$2" || bad "NOT RESTORED: $path" || :
    done 3< "$3"
}

user=$(id -u)
mkdir -p "$all"
[ -z "$(ls -A "$all")" ] || die "$all is not empty"
part=$(mktemp "$all/.recover.XXXXXX")
# Directories come first and symlinks last: while there is no symlink, nothing can be written through one.
json 'if .kind == "directory" then .path else .path | split("/")[:-1] | join("/") end | select(. != "") | path' \
    "$tmp/entries" -r > "$tmp/unsorted"
sort -u "$tmp/unsorted" > "$tmp/directories"
while read -r path <&3; do
    file_name "$path" && mkdir -p "$name" || bad "NOT RESTORED: $path and all below it" || :
done 3< "$tmp/directories"
each file restore_file "$tmp/rows"
each hardlink restore_hardlink "$tmp/rows"
each symlink restore_symlink "$tmp/rows"
# Deepest first: to put something into a directory changes its time, and its mode may forbid it.
tac "$tmp/rows" > "$tmp/backwards"
each directory restore_directory "$tmp/backwards"
for kind in fifo socket char-device block-device; do
    json 'select(.kind == $kind) | "left out, a \(.kind): \(.path)"' "$tmp/entries" -r --arg kind "$kind" >&2
done
json 'select(.xattrs // [] | length > 0) | "without its extended attributes: \(.path)"' "$tmp/entries" -r >&2
finish
