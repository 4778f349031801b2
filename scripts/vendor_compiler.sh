# shellcheck shell=bash
# What dnnc.sh and vai_c.sh share: names, and the checks of what the compilers wrote. To be sourced.
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

option+=(
    [quantized]='' [output]='' [net]=chars
    [input-node]=discriminator_conv2d_Conv2D [input-size]='32*32*1'
    [output-node]=discriminator_dense_MatMul [output-size]=''
)

compiler_usage() {
    cat <<TEXT
  --quantized DIR       where quantizing left its graphs; the compiler's version says which is taken
  --output DIR          where the kernel goes
  --net NAME            name of the network (default: ${option[net]})
  --input-node NAME, --input-size H*W*C, --output-node NAME, --output-size H*W*C
                        ends that the kernel must have, with _ for / (default: those of our network,
                        ${option[input-node]} ${option[input-size]}, ${option[output-node]})
TEXT
}

check_compiler_options() {
    require output
    [[ ${option[net]} =~ ^[A-Za-z0-9_]+$ ]] || die "--net may hold letters, digits and _, not '${option[net]}'"
}

# The kernel list that dnnc and the first vai_c print, as lines "type KIND", "input NODE SIZE",
# "output NODE SIZE". Later compilers print none.
kernel_list() {
    awk '
        /Kernel Type :/ { print "type", $NF; end = "" }
        /Input Node\(s\)/ { end = "input"; next }
        /Output Node\(s\)/ { end = "output"; next }
        /Kernel Name :|Tensor/ { end = "" }
        end != "" && /\*/ { name = $1; sub(/\([0-9]+\)$/, "", name); print end, name, $NF }
    ' "$1"
}

# check_kernel_list LOG: one kernel, on the DPU, from the expected input to the expected output.
check_kernel_list() {
    local log=$1 list dpu cpu
    list=$(kernel_list "$log")
    [ -n "$list" ] || return 0
    dpu=$(grep -c '^type DPUKernel' <<<"$list" || true)
    cpu=$(grep -c '^type CPUKernel' <<<"$list" || true)
    [ "$dpu.$cpu" = 1.0 ] || failed "$log" "the network became $dpu DPU and $cpu CPU kernels, not one DPU" \
        "kernel: an operator does not fit; python -m quantize check names it"
    check_end "$log" "$list" input
    check_end "$log" "$list" output
}

# check_end LOG LIST input|output
check_end() {
    local log=$1 way=$3 found node=${option[$3-node]} size=${option[$3-size]}
    found=$(sed -n "s/^$way //p" <<<"$2")
    [ "$(wc -l <<<"$found")" = 1 ] || failed "$log" "the kernel has several ${way}s: ${found//$'\n'/, }"
    [ "${found% *}" = "$node" ] ||
        failed "$log" "the kernel's $way node is ${found% *}, not $node; --$way-node names another"
    [ -z "$size" ] || [ "${found#* }" = "$size" ] ||
        failed "$log" "the kernel's $way is ${found#* }, not $size; it was compiled from another network"
}

# find_elf LOG: print the one ELF file that the compiler wrote. Where a network is one kernel, some
# versions leave out the kernel's number.
find_elf() {
    local log=$1 net=${option[net]} found=()
    shopt -s nullglob
    found=("${option[output]}/dpu_$net".elf "${option[output]}/dpu_$net"_[0-9]*.elf)
    for i in "${!found[@]}"; do [ -s "${found[i]}" ] || unset "found[i]"; done
    found=("${found[@]}")
    case ${#found[@]} in
        0) failed "$log" "the compiler ended well but wrote no ${option[output]}/dpu_${net}_0.elf" ;;
        1) ;;
        *) failed "$log" "more than one kernel (${found[*]##*/}): an operator does not fit the DPU;" \
            "python -m quantize check names it" ;;
    esac
    [ "$(head -c 4 "${found[0]}" | tail -c 3)" = ELF ] || failed "$log" "${found[0]}: is no ELF file"
    printf '%s\n' "${found[0]}"
}
