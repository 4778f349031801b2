#!/usr/bin/env bash
# Compile a quantized graph, the vendor quantizer's or ours, into a DPU kernel with vai_c (Vitis AI).
set -euo pipefail
# shellcheck source=scripts/vendor_compiler.sh
. "$(dirname "${BASH_SOURCE[0]}")/vendor_compiler.sh"
# shellcheck source=scripts/vendor_container.sh
. "$scripts/vendor_container.sh"

usage() {
    echo "usage: vai_c.sh --board NAME --quantized DIR|--model FILE --output DIR [options]"
    echo
    compiler_usage
    cat <<'TEXT'
  --model FILE          quantize_eval_model.pb; up to Vitis AI 1.2 deploy_model.pb; or a quantized .h5 (TensorFlow 2)
  --arch FILE           DPU description (default: the board file's, a path in the container)
  --fingerprint 0x…     the DPU of the board's bitstream where it is not the board file's; makes an arch.json
  --input-shape SHAPE   default: 1,32,32,1
TEXT
    container_usage
    cat <<'TEXT'

Writes NAME.xmodel (up to Vitis AI 1.2: dpu_NAME_0.elf) and vai_c.log into DIR and prints the kernel's path.
TEXT
}

option+=([model]='' [arch]='' [fingerprint]='' [input-shape]='1,32,32,1')

# choose_model: TOOLS before 1.3 read the deploy graph and write ELF files, later ones the evaluation graph.
choose_model() {
    elf=''
    if [ -n "$version" ] && older "$version" 1.3; then elf=1; fi
    local graph=quantize_eval_model.pb
    [ -z "$elf" ] || graph=deploy_model.pb
    option[model]=${option[model]:-${option[quantized]:+${option[quantized]}/$graph}}
    require model
    case ${option[model]##*/}$elf in
        deploy_model.pb) older "${version:-9.9}" 1.4 || # 1.3 has both graphs
            die "deploy_model.pb is for Vitis AI up to 1.3, and this is ${version:-a newer one};" \
                "give quantize_eval_model.pb" ;;
        quantize_eval_model.pb1) die "Vitis AI $version compiles deploy_model.pb, not quantize_eval_model.pb" ;;
        *.h51) die "Vitis AI $version has no TensorFlow 2 compiler" ;;
        *.h5) tool=vai_c_tensorflow2 framework=2 ;;
    esac
}

# choose_arch: set `arch`, and `made` to what it must hold where this script makes it.
choose_arch() {
    expected=${option[fingerprint]:-${board[dpu.fingerprint]-}}
    arch=${option[arch]} made=''
    [ -z "$expected" ] || [[ $expected =~ ^0x[0-9A-Fa-f]{1,16}$ ]] ||
        die "--fingerprint is like 0x101000056010407, not $expected"
    if [ -z "$arch" ] && [ -z "${option[fingerprint]}" ]; then arch=${board[dpu.arch]-}; fi
    if [ -z "$arch" ]; then
        [ -n "$expected" ] || die "--board, --arch or --fingerprint is needed"
        [ -z "$elf" ] || die "Vitis AI $version knows no fingerprints; name its arch file with --arch"
        arch=${option[output]}/arch.json made="{\"fingerprint\":\"$expected\"}"
    elif [ -f "$arch" ]; then
        check_arch_file
    elif [ -n "${option[arch]}" ] && [ "$engine" = none ] && [ -z "${flag[dry-run]}" ]; then
        die "$arch: no such file"
    fi
}

# digits FINGERPRINT: sixteen small ones.
digits() { printf '%016x' "$((16#${1#0x}))"; }

check_arch_file() {
    local found
    found=$(grep -oE '"fingerprint" *: *"0x[0-9A-Fa-f]+"' "$arch" | grep -oE '0x[0-9A-Fa-f]+' || true)
    [ -z "$found" ] || [ -z "$expected" ] || [ "$(digits "$found")" = "$(digits "$expected")" ] ||
        die "$arch is for the DPU $found, but ${option[board]:-the board} has $expected; give the board's" \
            "own arch file, or its bitstream's --fingerprint"
}

vai_c_command() {
    if [ -n "$elf" ]; then
        command=(vai_c_tensorflow --frozen_pb "${option[model]}" --arch "$arch" --output_dir "${option[output]}"
            --net_name "${option[net]}" --options "{'mode':'normal'}")
    elif [ "$tool" = vai_c_tensorflow2 ]; then
        command=("$tool" -m "${option[model]}" -a "$arch" -o "${option[output]}" -n "${option[net]}")
    else
        command=("$tool" -f "${option[model]}" -a "$arch" -o "${option[output]}" -n "${option[net]}"
            --options "{\"input_shape\":\"${option[input-shape]}\"}")
    fi
}

# check_xmodel LOG: one DPU subgraph, for the DPU that was meant.
check_xmodel() {
    local log=$1 file=${option[output]}/${option[net]}.xmodel count target
    [ -s "$file" ] || failed "$log" "the compiler wrote no $file"
    count=$(grep -oE 'DPU subgraph number [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+$' || true)
    [ "${count:-1}" = 1 ] || failed "$log" "the network became $count DPU subgraphs, not one: an operator" \
        "does not fit; python -m quantize check names it"
    target=$(grep -oE 'Target architecture: .*' "$log" | tail -n 1 | sed 's/.*: *//' || true)
    check_target "$log" "$target"
    printf '%s\n' "$file"
}

# check_target LOG TARGET: DPUCZDX8G_ISA1_B4096, or with the fingerprint's digits behind it.
check_target() {
    local size fingerprint
    fingerprint=$(grep -oE '_[0-9a-fA-F]{16}$' <<<"$2" | tr -d _ || true)
    size=$(grep -oE '_B[0-9]+' <<<"$2" | tr -d _ || true)
    if [ -n "$fingerprint" ] && [ -n "$expected" ]; then
        [ "$(digits "$fingerprint")" = "$(digits "$expected")" ] ||
            failed "$1" "compiled for the DPU 0x$fingerprint, but ${option[board]:-the board} has $expected"
    elif [ -n "$size" ] && [ -n "${board[dpu.target]-}" ] && [ -z "${option[fingerprint]}" ]; then
        [ "$size" = "${board[dpu.target]}" ] ||
            failed "$1" "compiled for a $size DPU ($2), but ${option[board]} has a ${board[dpu.target]}"
    fi
}

tool=vai_c_tensorflow
parse_options "$@"
load_board
need_flow vitis-ai "Vitis AI"
choose_engine "$tool"
find_vitis_version
if [ -n "${flag[check]}" ]; then
    check_engine "$tool"
    exit
fi
check_compiler_options
[[ ${option[input-shape]} =~ ^[0-9]+(,[0-9]+)+$ ]] || die "--input-shape is like 1,32,32,1, not ${option[input-shape]}"
choose_model
if [ "$engine" != none ]; then # mounted under their whole paths
    option[output]=$(absolute "${option[output]}")
    option[model]=$(absolute "${option[model]}")
    [ ! -f "${option[arch]}" ] || option[arch]=$(absolute "${option[arch]}")
fi
choose_arch
vai_c_command
readable=("${option[model]}")
if [ -z "$made" ] && [ -f "$arch" ]; then readable+=("$arch"); fi
enter_container "${option[output]}" "${readable[@]}"
if [ -n "${flag[dry-run]}" ]; then
    [ -z "$made" ] || say "$arch will hold $made"
    show "${command[@]}"
    exit
fi
need_engine "$tool"
[ -f "${option[model]}" ] || die "${option[model]}: no such file; make quantize writes it"
mkdir -p "${option[output]}"
rm -f "${option[output]}/${option[net]}.xmodel" "${option[output]}/dpu_${option[net]}".elf \
    "${option[output]}/dpu_${option[net]}"_[0-9]*.elf
[ -z "$made" ] || echo "$made" >"$arch"
run_logged "${option[output]}/vai_c.log" "${command[@]}"
if [ -n "$elf" ]; then
    check_kernel_list "${option[output]}/vai_c.log"
    find_elf "${option[output]}/vai_c.log"
else
    check_xmodel "${option[output]}/vai_c.log"
fi
