# shellcheck shell=bash
# What decent_q.sh and vai_q.sh share: the two tools have the same options. To be sourced.
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

option+=(
    [frozen-graph]='' [calibration]='' [output]=''
    [input-node]=input_real [input-shape]='?,32,32,1' [output-node]=discriminator/dense/BiasAdd
    [method]=1 [batch]=32 [iterations]=10 [gpu]=0
    [weight-bit]='' [activation-bit]='' [ignore-nodes]='' [skip-check]=''
)
module=edgeglyph_calibration

quantizer_usage() {
    cat <<TEXT
usage: ${0##*/} --frozen-graph FILE.pb --calibration FILE.npz|.npy --output DIR [options]

  --board NAME          a board of the $1 flow; refuses others
  --input-node NAME     default: ${option[input-node]}
  --input-shape SHAPE   default: ${option[input-shape]}
  --output-node NAME    default: ${option[output-node]}
  --method 0|1|2        0 non-overflow, 1 min-diffs (default), 2 min-diffs with normalization
  --batch N             calibration inputs per iteration (default: ${option[batch]})
  --iterations N        default: ${option[iterations]}
  --gpu N               default: ${option[gpu]}
  --weight-bit N, --activation-bit N, --ignore-nodes NAMES, --skip-check 0|1
                        passed on where given
TEXT
}

check_quantizer_options() {
    require frozen-graph calibration output
    positive batch iterations
    [[ ${option[method]} =~ ^[012]$ ]] || die "--method is 0, 1 or 2, not ${option[method]}"
    [[ ${option[skip-check]} =~ ^[01]?$ ]] || die "--skip-check is 0 or 1, not ${option[skip-check]}"
    [[ ${option[input-shape]} =~ ^(\?|[0-9]+)(,[0-9]+){3}$ ]] ||
        die "--input-shape is like ?,32,32,1, not ${option[input-shape]}"
    [[ ${option[calibration]} =~ \.(npz|npy)$ ]] ||
        die "${option[calibration]}: not an .npz or .npy file; make quantize writes calibration.npz"
    local name
    for name in frozen-graph calibration output; do option["$name"]=$(absolute "${option[$name]}"); done
}

# quantizer_command TOOL: put its command line into the array `command`.
quantizer_command() {
    local name
    command=("$1" quantize
        --input_frozen_graph "${option[frozen-graph]}"
        --input_nodes "${option[input-node]}" --input_shapes "${option[input-shape]}"
        --output_nodes "${option[output-node]}" --input_fn "$module.batch"
        --method "${option[method]}" --calib_iter "${option[iterations]}" --gpu "${option[gpu]}")
    for name in weight-bit activation-bit ignore-nodes skip-check; do
        [ -z "${option[$name]}" ] || command+=("--${name//-/_}" "${option[$name]}")
    done
    command+=(--output_dir "${option[output]}")
}

# In the Python of TensorFlow 1, which may be 2.7: NumPy and nothing else, old syntax.
write_input_fn() {
    local path=${option[calibration]} node=${option[input-node]}
    case $path$node in *$'\n'*) die "a name holds a line break: $path" ;; esac
    path=${path//\\/\\\\}
    cat >"${option[output]}/$module.py" <<MODULE
# -*- coding: utf-8 -*-
"""Calibration inputs for the vendor's quantizer; written by ${0##*/}."""
import numpy

FILE = "${path//\"/\\\"}"
NODE = "${node//\"/\\\"}"
BATCH = ${option[batch]}


def _inputs():
    found = numpy.load(FILE)
    if hasattr(found, "files"):
        if len(found.files) != 1:
            raise ValueError("%s must hold one array, not %d" % (FILE, len(found.files)))
        found = found[found.files[0]]
    if found.dtype != numpy.float32 or found.ndim != 4 or not len(found):
        raise ValueError("%s must hold float32 NHWC inputs, not %s %s" % (FILE, found.dtype, found.shape))
    return found


INPUTS = _inputs()


def batch(iteration):
    """Placeholder name to the inputs of one iteration; wraps around at the end."""
    rows = [(iteration * BATCH + i) % len(INPUTS) for i in range(BATCH)]
    return {NODE: INPUTS[rows]}
MODULE
}

# run_quantizer NAME GRAPH...: run it in the output folder and check the graphs that it must write.
run_quantizer() {
    local log=${option[output]}/$1.log graph node
    [ -f "${option[frozen-graph]}" ] || die "${option[frozen-graph]}: no such file; run make freeze first"
    [ -f "${option[calibration]}" ] || die "${option[calibration]}: no such file; run make quantize first"
    mkdir -p "${option[output]}"
    write_input_fn
    cd "${option[output]}" || exit
    rm -f quantize_eval_model.pb deploy_model.pb
    run_logged "$log" "${command[@]}"
    for graph in "${@:2}"; do
        [ -s "$graph" ] || failed "$log" "$1 ended well but wrote no ${option[output]}/$graph"
    done
    for node in "${option[input-node]}" "${option[output-node]}"; do
        grep -aqF -- "$node" quantize_eval_model.pb ||
            failed "$log" "${option[output]}/quantize_eval_model.pb has no node $node"
    done
    grep -aqF FixNeuron quantize_eval_model.pb ||
        failed "$log" "${option[output]}/quantize_eval_model.pb has no fix points: $1 quantized nothing"
    for graph in quantize_eval_model.pb deploy_model.pb; do
        [ ! -s "$graph" ] || echo "${option[output]}/$graph"
    done
}
