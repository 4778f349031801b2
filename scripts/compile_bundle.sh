#!/usr/bin/env bash
# From what quantizing left to a board's bundle: the CPU's integers always, and a DPU kernel where the
# board has a DPU and its compiler is installed, or where a kernel is given.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'TEXT'
usage: compile_bundle.sh --board NAME --quantized DIR --output FILE.egb --name NAME [options]
       [-- options of scripts/dnnc.sh or vai_c.sh]

  --dpu-kernel FILE     take this kernel (.elf, .xmodel), compile none
  --from DIR            quantized graphs to compile, where they are not those of --quantized
  --require-dpu         fail where there will be no kernel

Compiler files and their logs go to DIR/dpu-BOARD.
TEXT
}

# without_kernel WORDS...: go on for the CPU alone, where that is allowed.
without_kernel() {
    [ -z "${flag[require-dpu]}" ] || die "no DPU kernel, but one is required (REQUIRE_DPU): $*"
    say "$*; going on with a bundle for the board's CPU"
}

# compile_kernel COMPILER_OPTION...: set `kernel`, or leave it empty.
compile_kernel() {
    local why ends status=0 folder=${option[quantized]}/dpu-${option[board]}
    # Asked first, so that its absence is known before anything else is found fault with.
    why=$("$scripts/vendor.sh" compile "${option[board]}" --check 2>&1 >/dev/null) || status=$?
    case $status in
        0) ;;
        3) without_kernel "${why#*: }"; return ;;
        *) echo "$why" >&2; exit "$status" ;;
    esac
    ends=$("$python" -m quantize info "${option[quantized]}" --ends 2>&1) ||
        { without_kernel "${ends#*: }"; return; }
    local words=()
    mapfile -t words <<<"$ends"
    kernel=$("$scripts/vendor.sh" compile "${option[board]}" --quantized "${option[from]:-${option[quantized]}}" \
        --output "$folder" --net "${option[name]}" "${words[@]}" "$@") || status=$?
    case $status in
        0) ;;
        3) without_kernel "the compiler cannot be run here" ;;
        *) exit "$status" ;;
    esac
}

option+=([quantized]='' [output]='' [name]='' [dpu-kernel]='' [from]='')
flag+=([require-dpu]='')
own=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do own+=("$1"); shift; done
[ $# = 0 ] || shift
parse_options "${own[@]}"
require board quantized output name
load_board
python=$(find_python)
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHON=$python
kernel=${option[dpu-kernel]}
if [ -z "$kernel" ]; then
    if [ "${option[board]}" != host ] || [ -n "${flag[require-dpu]}" ]; then compile_kernel "$@"; fi
fi
exec "$python" -m quantize compile --quantized "${option[quantized]}" --output "${option[output]}" \
    --name "${option[name]}" --board "${option[board]}" ${kernel:+--dpu-kernel "$kernel"} \
    ${kernel:+${option[from]:+--vendor "${option[from]}"}}
