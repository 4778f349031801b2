#!/usr/bin/env bash
# Compile the vendor quantizer's deploy_model.pb into a DPU kernel with dnnc (DNNDK 3.x).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/common.sh
. "$here/common.sh"

usage() {
    cat <<'TEXT'
usage: dnnc.sh --board NAME --deploy-model deploy_model.pb --output DIR [options]

  --net NAME            name of the network (default: chars); the kernel becomes NAME_0
  --dcf FILE            the board's own .dcf, better than the DPU type of the board file
  --dry-run             print the command line, run nothing

Writes dpu_NAME_0.elf and dnnc.log into DIR.
TEXT
}

board='' deploy_model='' output='' net=chars dcf='' dry_run=''
while [ $# -gt 0 ]; do
    case $1 in
        --board) board=$(value "$@") ;;
        --deploy-model) deploy_model=$(value "$@") ;;
        --output) output=$(value "$@") ;;
        --net) net=$(value "$@") ;;
        --dcf) dcf=$(value "$@") ;;
        --dry-run) dry_run=1; shift; continue ;;
        -h | --help) usage; exit 0 ;;
        *) die "unknown option $1; --help lists them" ;;
    esac
    shift 2
done
[ -n "$board" ] || die "--board is needed"
[ -n "$deploy_model" ] || die "--deploy-model is needed"
[ -n "$output" ] || die "--output is needed"
[[ $net =~ ^[A-Za-z0-9_]+$ ]] || die "--net may hold letters, digits and _, not '$net'"

file=$here/../edge_runtime/boards/$board.toml
if [ ! -f "$file" ]; then
    known=("$here"/../edge_runtime/boards/*.toml)
    known=("${known[@]##*/}")
    die "no board '$board'; there are: ${known[*]%.toml}"
fi
# setting KEY: a string of the board file's [dpu] table, or nothing.
setting() { sed -n '/^\[dpu\]/,$ s/^'"$1"' *= *"\([^"]*\)".*/\1/p' "$file"; }
[ "$(setting flow)" = dnndk ] || absent "board $board has no DPU of the DNNDK flow; its bundle runs on the CPU"

if [ -n "$dcf" ]; then hardware=(--dcf="$dcf"); else hardware=(--dpu="$(setting dpu)"); fi
command=(dnnc --parser=tensorflow --frozen_pb="$deploy_model" "${hardware[@]}"
    --cpu_arch="$(setting cpu_arch)" --mode=normal --net_name="$net" --output_dir="$output")

if [ -n "$dry_run" ]; then
    show "${command[@]}"
    exit 0
fi
command -v dnnc >/dev/null ||
    absent "dnnc (DNNDK 3.x) is not on PATH, so no DPU kernel can be compiled for $board; it comes with the vendor's DNNDK"
[ -f "$deploy_model" ] || die "$deploy_model: no such file; make quantize VENDOR=1 writes it where decent_q is installed"
[ -z "$dcf" ] || [ -f "$dcf" ] || die "$dcf: no such file"

mkdir -p "$output"
rm -f "$output/dpu_${net}_0.elf"
run_logged "$output/dnnc.log" "${command[@]}"
if [ ! -s "$output/dpu_${net}_0.elf" ]; then
    echo "${0##*/}: dnnc ended well but wrote no $output/dpu_${net}_0.elf; see $output/dnnc.log" >&2
    exit 1
fi
if [ -e "$output/dpu_${net}_1.elf" ]; then
    echo "${0##*/}: dnnc made more than one kernel: an operator of the graph does not fit the DPU; see $output/dnnc.log" >&2
    exit 1
fi
echo "dnnc: wrote $output/dpu_${net}_0.elf"
