# shellcheck shell=sh
# What runs on a board: POSIX sh with busybox's tools is enough. scripts/deploy.py sends this file on
# standard input: `ssh HOST sh -s -- COMMAND FOLDER ARGUMENT...`. In FOLDER are
#   releases/VERSION/   program, bundle and sample images of each version
#   incoming/VERSION/   a version until it has passed every check
#   current             link to the version in use
#   versions            versions in the order of their first use, the newest last
# One line on standard error and exit code 4 say what went wrong.
set -u

die() {
    echo "$*" >&2
    exit 4
}

have() { command -v "$1" >/dev/null 2>&1; }

current() {
    link=$(readlink current 2>/dev/null) || return 0
    echo "${link##*/}"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# prepare FOLDER VERSION MACHINE...: say what this board is; make room for VERSION if it is the right one.
prepare() {
    folder=$1 version=$2
    shift 2
    machine=$(uname -m)
    # a 32-bit system on a 64-bit kernel, as Raspberry Pi OS may be
    [ "$machine" = aarch64 ] && [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ] && machine=armv8l
    echo "machine=$machine"
    case " $* " in *" $machine "*) ;; *) return 0 ;; esac
    echo "user=$(id -un)"
    for tool in rsync scp; do have "$tool" && echo "$tool=yes"; done
    mkdir -p "$folder/incoming/$version" "$folder/releases" 2>/dev/null || return 0
    cd "$folder" && [ -w . ] && [ -w incoming ] && [ -w releases ] || return 0
    echo "writable=yes"
    # what an interrupted deployment of another version has left
    for left in incoming/*; do
        [ "$left" = "incoming/$version" ] || rm -rf "$left"
    done
    echo "free_kb=$(df -Pk . | tail -n 1 | { read -r _ _ _ free _ && echo "$free"; })"
    echo "there_kb=$(du -sk "incoming/$version" | cut -f 1)"
    [ -f "releases/$version/files.sha256" ] && echo "present=yes"
    echo "current=$(current)"
}

# services FOLDER: whether systemd is here and may be changed without a password.
services() {
    have systemctl && echo "systemctl=yes"
    as_root true 2>/dev/null && echo "root=yes"
}

# hashes FOLDER STAGE: SHA-256 of every file in STAGE's list; where nothing can tell, the files themselves.
hashes() {
    cd "$1/$2" || die "$1/$2 has gone"
    if have sha256sum; then
        echo "lines"
        cut -c 67- files.sha256 | xargs sha256sum
    elif have openssl; then
        echo "lines"
        cut -c 67- files.sha256 | xargs openssl dgst -sha256 -r
    else
        echo "content"
        cut -c 67- files.sha256 | xargs cat
    fi
}

# program FOLDER STAGE ARGUMENT...: run STAGE's program there, so that its lines name images as the host does.
program() {
    cd "$1/$2" || die "$1/$2 has gone"
    shift 2
    ./edge_classify --bundle classifier.egb "$@" </dev/null
    exit $? # by exec, ssh could not tell a program that crashed from a lost connection
}

discard() {
    cd "$1" && rm -rf "incoming/$2"
}

# switch FOLDER VERSION: rename(2) puts the new link in the place of the old one in one step.
switch() {
    cd "$1" && [ -d "releases/$2" ] || die "$1/releases/$2: no such version"
    rm -rf current.new
    ln -s "releases/$2" current.new || die "$1: the link to the version cannot be made"
    # Old busybox has no -T. Then the link is missing for a moment: nothing better is in its shell.
    mv -T current.new current 2>/dev/null || {
        rm -f current.new
        ln -sfn "releases/$2" current
    }
    [ "$(readlink current)" = "releases/$2" ] || die "$1/current: cannot be switched"
    sync
}

# adopt FOLDER STAGE VERSION KEEP: turn a checked STAGE into the current VERSION; keep KEEP earlier ones.
adopt() {
    cd "$1" || die "$1 has gone"
    was=$(current)
    touch versions
    {
        grep -vxF -e "$3" -e "${was:-$3}" versions
        [ -z "$was" ] || [ "$was" = "$3" ] || echo "$was"
        echo "$3"
    } >versions.new || die "$1/versions.new: cannot be written"
    mv versions.new versions
    if [ "$2" != "releases/$3" ]; then
        # one of that name has failed its check, or there would have been nothing to send
        [ -d "releases/$3" ] && mv "releases/$3" incoming/.damaged
        mv "$2" "releases/$3" || die "$1/releases: cannot be written"
    fi
    rm -rf incoming
    sync
    switch "$1" "$3"
    tail -n "$(($4 + 1))" versions >versions.new && mv versions.new versions
    for release in releases/*; do
        grep -qxF -e "${release##*/}" versions || rm -rf "$release"
    done
}

# list FOLDER: its versions, the oldest first, and the one in use.
list() {
    cd "$1" 2>/dev/null && [ -f versions ] || return 0
    echo "current=$(current)"
    while read -r version; do
        [ -d "releases/$version" ] && echo "version=$version"
    done <versions
}

# units FOLDER UNIT_FOLDER NAME TEXT...: install systemd units, enable them, run the self-test once.
units() {
    mkdir -p "$1/inbox" || die "$1/inbox: cannot be made"
    unit_folder=$2
    shift 2
    names=
    while [ $# -gt 1 ]; do
        # shellcheck disable=SC2016  # expanded by the inner shell
        printf '%s' "$2" | as_root sh -c 'cat >"$1.new" && mv "$1.new" "$1"' sh "$unit_folder/$1" ||
            die "$unit_folder/$1: cannot be written"
        names="$names $1"
        shift 2
    done
    # shellcheck disable=SC2086  # names of units hold no spaces
    if ! { as_root systemctl daemon-reload && as_root systemctl enable --quiet $names &&
        as_root systemctl restart $names; }; then
        die "systemctl refuses the units$names; on the board: journalctl -xe"
    fi
}

main() {
    command=$1
    shift
    case $command in
        prepare) prepare "$@" ;;
        services) services ;;
        hashes) hashes "$@" ;;
        program) program "$@" ;;
        discard) discard "$@" ;;
        switch) switch "$@" ;;
        adopt) adopt "$@" ;;
        list) list "$@" ;;
        units) units "$@" ;;
        *) die "no command $command" ;;
    esac
}

main "$@"
exit # the rest of standard input is not for this shell
