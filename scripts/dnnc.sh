#!/usr/bin/env bash
# Compile deploy_model.pb, the vendor quantizer's or ours, into a DPU kernel with dnnc (DNNDK 3.x).
set -euo pipefail
# shellcheck source=scripts/vendor_compiler.sh
. "$(dirname "${BASH_SOURCE[0]}")/vendor_compiler.sh"

usage() {
    echo "usage: dnnc.sh --board NAME --quantized DIR|--deploy-model deploy_model.pb --output DIR [options]"
    echo
    compiler_usage
    cat <<'TEXT'
  --dcf FILE            the board's own .dcf (default: the board file's, beside it or in this folder)
  --dpu TYPE            1152FA or 4096FA, where there is no .dcf (default: the board file's)
  --cpu-arch ARCH       arm32 or arm64 (default: the board file's)
  --mode normal|debug   default: normal
  --tool PROGRAM        default: dnnc, dnnc-dpu1.4.0 or dnnc-dpu1.3.0 on PATH
  --dnndk-conf FILE     where DNNDK's version stands (default: /etc/dnndk.conf)
  --save-kernel         passed on
  --check               say whether dnnc is here, and its version
  --dry-run             print the command line, run nothing

Writes dpu_NAME_0.elf and dnnc.log into DIR and prints the kernel's path.
TEXT
}

option+=([deploy-model]='' [dcf]='' [dpu]='' [cpu-arch]='' [mode]=normal [tool]='' [dnndk-conf]=/etc/dnndk.conf)
flag+=([save-kernel]='')

find_dnnc() {
    local names=(dnnc dnnc-dpu1.4.0 dnnc-dpu1.3.0)
    [ -z "${option[tool]}" ] || names=("${option[tool]}")
    tool=$(first_program "${names[@]}")
}

need_dnnc() {
    find_dnnc || absent "${option[tool]:-dnnc} (DNNDK 3.x) is not on PATH, so no DPU kernel can be compiled" \
        "for ${option[board]:-a board}; it comes with the vendor's DNNDK: see docs/vendor-tools.md"
    version=$(version_in "$(grep -s '^DNNDK_VERSION' "${option[dnndk-conf]}" || true)")
    version=${version:-$(version_of "$tool")}
    [ -z "$version" ] || ! older "$version" 3.0 ||
        die "$tool is of DNNDK $version; TensorFlow networks need 3.0 or newer (3.1 for Zynq-7000 boards)"
}

# find_dcf: the board file names one; it lies beside that file or in the working folder.
find_dcf() {
    local name=${board[dpu.dcf]-} folder
    [ -z "${option[dcf]}${option[dpu]}" ] && [ -n "$name" ] || return 0
    for folder in "$root/edge_runtime/boards" "$PWD"; do
        if [ -f "$folder/$name" ]; then option[dcf]=$folder/$name; fi
    done
    [ -n "${option[dcf]}" ] || say "no $name in $root/edge_runtime/boards or here: taking the DPU type" \
        "${board[dpu.dpu]}; a board's own .dcf is better (--dcf)"
}

dnnc_command() {
    local hardware=--dpu=${option[dpu]:-${board[dpu.dpu]-}} arch=${option[cpu-arch]:-${board[dpu.cpu_arch]-}}
    [ -z "${option[dcf]}" ] || hardware=--dcf=${option[dcf]}
    [ "$hardware" != --dpu= ] || die "--board, --dcf or --dpu is needed"
    [[ $arch =~ ^arm(32|64)$ ]] || die "--cpu-arch is arm32 or arm64, not '$arch'"
    [[ ${option[mode]} =~ ^(normal|debug)$ ]] || die "--mode is normal or debug, not ${option[mode]}"
    command=("${tool:-dnnc}" --parser=tensorflow --frozen_pb="${option[deploy-model]}" "$hardware"
        --cpu_arch="$arch" --mode="${option[mode]}" --net_name="${option[net]}" --output_dir="${option[output]}")
    [ -z "${flag[save-kernel]}" ] || command+=(--save_kernel)
}

parse_options "$@"
load_board
need_flow dnndk DNNDK
if [ -n "${flag[check]}" ]; then
    need_dnnc
    echo "$tool ${version:-of unknown version}"
    exit
fi
[ -n "${option[board]}${option[dcf]}${option[dpu]}" ] || require board
check_compiler_options
[ -n "${option[deploy-model]}" ] || option[deploy-model]=${option[quantized]:+${option[quantized]}/deploy_model.pb}
require deploy-model
find_dcf
find_dnnc || true
dnnc_command
if [ -n "${flag[dry-run]}" ]; then
    show "${command[@]}"
    exit
fi
need_dnnc
[ -f "${option[deploy-model]}" ] || die "${option[deploy-model]}: no such file; make quantize writes it"
[ -z "${option[dcf]}" ] || [ -f "${option[dcf]}" ] || die "${option[dcf]}: no such file"
mkdir -p "${option[output]}"
rm -f "${option[output]}/dpu_${option[net]}".elf "${option[output]}/dpu_${option[net]}"_[0-9]*.elf
run_logged "${option[output]}/dnnc.log" "${command[@]}"
check_kernel_list "${option[output]}/dnnc.log"
find_elf "${option[output]}/dnnc.log"
