# shellcheck shell=bash
# Shared by the wrappers of the vendor's tools; to be sourced by bash.
# Exit codes: 0 done, 1 the tool failed, 2 wrong use, 3 the tool is not installed, or not for this board.

die() {
    echo "${0##*/}: $*" >&2
    exit 2
}

absent() {
    echo "${0##*/}: $*" >&2
    exit 3
}

# value OPTION [ARGUMENT]: the argument, or an error that names the option.
value() {
    [ $# -ge 2 ] && [ -n "$2" ] || die "$1 needs a value"
    printf '%s' "$2"
}

# show COMMAND...: one line that can be pasted into a shell.
show() {
    local word line=
    for word in "$@"; do
        # bash quotes ? and , although they are safe inside our words; keep the line readable
        if [[ $word =~ ^[A-Za-z0-9_./:=,?@%+-]+$ ]]; then line+=" $word"; else line+=" $(printf '%q' "$word")"; fi
    done
    echo "${line# }"
}

# run_logged LOG COMMAND...: keep all output in LOG; on failure show its last lines.
run_logged() {
    local log=$1
    shift
    show "$@" >"$log"
    if ! "$@" >>"$log" 2>&1; then
        echo "${0##*/}: $1 failed; the end of $log:" >&2
        tail -n 15 "$log" | sed 's/^/    /' >&2
        exit 1
    fi
}
