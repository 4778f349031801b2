# shellcheck shell=bash
# Shared by the wrappers of the vendor's tools; to be sourced by bash 4 or newer.
# Exit codes: 0 done, 1 the tool failed, 2 wrong use, 3 the tool is not installed, or not for this board.
# Results go to stdout, everything else to stderr and into a log.

[ -z "${scripts-}" ] || return 0 # sourced already
scripts=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$scripts")
declare -A option=([board]='') flag=([dry-run]='' [check]='') board=()
declare -a command=() # what will be run, filled by the scripts
: "${command[@]}"

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 2; }
absent() { say "$*"; exit 3; }

# failed LOG WORDS...: what went wrong, and the end of the log.
failed() {
    local log=$1
    shift
    say "$*; the end of $log:"
    tr '\r' '\n' <"$log" | tail -n 15 | sed 's/^/    /' >&2
    exit 1
}

# parse_options ARGUMENT...: fill the arrays `option` and `flag` that the script has declared.
parse_options() {
    local name
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help) usage; exit 0 ;;
            --?*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        esac
        name=${1#--}
        if ! [[ $1 =~ ^--[a-z0-9-]+$ ]]; then
            die "unknown option $1; --help lists them"
        elif [ -n "${flag[$name]+known}" ]; then
            flag[$name]=1
            shift
        elif [ -n "${option[$name]+known}" ]; then
            [ $# -ge 2 ] && [ -n "$2" ] || die "$1 needs a value"
            option[$name]=$2
            shift 2
        else
            die "unknown option $1; --help lists them"
        fi
    done
}

require() {
    local name
    for name in "$@"; do [ -n "${option[$name]}" ] || die "--$name is needed; --help explains"; done
}

positive() {
    local name
    for name in "$@"; do
        [[ ${option[$name]} =~ ^[1-9][0-9]*$ ]] || die "--$name is a positive number, not ${option[$name]}"
    done
}

# absolute PATH: from / on, as the tools change their working folder.
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }

# Board files are read by edge_runtime/board.py alone, with any Python from 3.11 on.
find_python() {
    local python
    for python in "${PYTHON:-}" "$root/.venv/bin/python" python3 python3.13 python3.12 python3.11; do
        command -v "$python" >/dev/null || continue
        if "$python" -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$python"
            return
        fi
    done
    die "reading a board file needs Python 3.11 or newer; name one: PYTHON=python3.12 $0 …"
}

# load_board: read the board that --board names into the array `board`, for example board[dpu.flow].
load_board() {
    local python text line
    [ -n "${option[board]}" ] || return 0
    python=$(find_python)
    text=$(PYTHONPATH=$root "$python" -S -m edge_runtime.board "${option[board]}" 2>&1) || die "$text"
    while IFS= read -r line; do board[${line%%=*}]=${line#*=}; done <<<"$text"
}

# need_flow FLOW NAME: end where the board that was named has no DPU of this flow.
need_flow() {
    [ -z "${option[board]}" ] || [ "${board[dpu.flow]-}" = "$1" ] ||
        absent "board ${option[board]} has no DPU of the $2 flow; ${0##*/} is not for it"
}

# first_program NAME...: the first that is on PATH; status 1 where none is.
first_program() {
    local name
    for name in "$@"; do
        if command -v "$name" >/dev/null; then
            printf '%s' "$name"
            return
        fi
    done
    return 1
}

# version_in TEXT: its first 1.2 or 1.2.3, nothing where there is none.
version_in() { grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' <<<"$1" | head -n 1 || true; }

# version_of PROGRAM: what it says of itself, nothing where it says none.
version_of() { version_in "$(timeout 60 "$1" --version 2>/dev/null </dev/null || true)"; }

# older VERSION THAN: by major and minor number.
older() {
    local a b
    IFS=. read -ra a <<<"$1"
    IFS=. read -ra b <<<"$2"
    ((10#${a[0]} * 1000 + 10#${a[1]-0} < 10#${b[0]} * 1000 + 10#${b[1]-0}))
}

# quote WORD: for a shell, only where it must be, and then as people write it.
quote() {
    if [[ $1 =~ ^[A-Za-z0-9_./:=,?@%+-]+$ ]]; then
        printf '%s' "$1"
    elif [[ $1 != *\'* ]]; then
        printf "'%s'" "$1"
    elif ! [[ $1 =~ [\"\$\`\\!] ]]; then
        printf '"%s"' "$1"
    else
        printf "'%s'" "${1//\'/\'\\\'\'}"
    fi
}

# show COMMAND...: one line that can be pasted into a shell.
show() {
    local word line=
    for word in "$@"; do line+=" $(quote "$word")"; done
    echo "${line# }"
}

# run_logged LOG COMMAND...: keep all output in LOG; show that it goes on; on failure the end of LOG.
run_logged() {
    local log=$1 status=0
    shift
    show "$@" >"$log"
    say "running $1; log: $log"
    set -m # a process group of its own, which ends whole
    "$@" >>"$log" 2>&1 </dev/null &
    set +m
    watch_job $! "$log" || status=$?
    if [ "$status" != 0 ]; then
        explain_failure "$log"
        failed "$log" "$1 failed (exit code $status)"
    fi
}

# explain_failure LOG: for scripts that know more, and then end by themselves.
explain_failure() { :; }

# watch_job PID LOG: wait, on a terminal with the seconds and the log's last line.
watch_job() {
    local job=$1 log=$2 started=$SECONDS last
    # shellcheck disable=SC2064 # of this job
    trap "kill -- -$job 2>/dev/null; exit 130" INT TERM
    while [ -t 2 ] && kill -0 "$job" 2>/dev/null; do
        last=$(tail -c 400 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-60)
        printf '\r\033[K%s: %d s  %s' "${0##*/}" $((SECONDS - started)) "$last" >&2
        sleep 1
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    wait "$job"
}
