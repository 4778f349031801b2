#!/usr/bin/env bash
# Run the vendor's quantizer or compiler of a board's flow: decent_q.sh, dnnc.sh, vai_q.sh or vai_c.sh.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() { echo "usage: vendor.sh quantize|compile BOARD [options of the wrapper that the board's flow needs]"; }

case ${1-} in
    -h | --help) usage; exit 0 ;;
    quantize | compile) step=$1 ;;
    *) usage >&2; exit 2 ;;
esac
option[board]=${2-}
require board
load_board
case $step.${board[dpu.flow]-} in
    quantize.dnndk) wrapper=decent_q ;;
    compile.dnndk) wrapper=dnnc ;;
    quantize.vitis-ai) wrapper=vai_q ;;
    compile.vitis-ai) wrapper=vai_c ;;
    *) absent "board ${option[board]} has no DPU; its bundle runs on the CPU" ;;
esac
exec "$scripts/$wrapper.sh" --board "${option[board]}" "${@:3}"
