#!/usr/bin/env bash
# Quantize a frozen graph with the vendor's decent_q (DNNDK 3.x), fed with our calibration images.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/common.sh
. "$here/common.sh"

usage() {
    cat <<'TEXT'
usage: decent_q.sh --frozen-graph FILE.pb --calibration FILE.npz --output DIR [options]

  --input-node NAME     default: input_real
  --input-shape SHAPE   default: ?,32,32,1
  --output-node NAME    default: discriminator/dense/BiasAdd
  --method 0|1          0 non-overflow, 1 min-diffs (default)
  --batch N             calibration images per iteration (default: 32)
  --iterations N        default: 10
  --dry-run             print the command line, run nothing

Writes quantize_eval_model.pb, deploy_model.pb and decent_q.log into DIR.
TEXT
}

frozen_graph='' calibration='' output='' dry_run=''
input_node=input_real input_shape='?,32,32,1' output_node=discriminator/dense/BiasAdd
method=1 batch=32 iterations=10
while [ $# -gt 0 ]; do
    case $1 in
        --frozen-graph) frozen_graph=$(value "$@") ;;
        --calibration) calibration=$(value "$@") ;;
        --output) output=$(value "$@") ;;
        --input-node) input_node=$(value "$@") ;;
        --input-shape) input_shape=$(value "$@") ;;
        --output-node) output_node=$(value "$@") ;;
        --method) method=$(value "$@") ;;
        --batch) batch=$(value "$@") ;;
        --iterations) iterations=$(value "$@") ;;
        --dry-run) dry_run=1; shift; continue ;;
        -h | --help) usage; exit 0 ;;
        *) die "unknown option $1; --help lists them" ;;
    esac
    shift 2
done
[ -n "$frozen_graph" ] || die "--frozen-graph is needed"
[ -n "$calibration" ] || die "--calibration is needed"
[ -n "$output" ] || die "--output is needed"
[[ $method =~ ^[01]$ ]] || die "--method is 0 or 1, not $method"
[[ $batch =~ ^[1-9][0-9]*$ ]] || die "--batch is a positive number, not $batch"
[[ $iterations =~ ^[1-9][0-9]*$ ]] || die "--iterations is a positive number, not $iterations"

# decent_q imports the module from its working folder, so all paths are absolute.
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }
frozen_graph=$(absolute "$frozen_graph")
calibration=$(absolute "$calibration")
output=$(absolute "$output")
command=(decent_q quantize
    --input_frozen_graph "$frozen_graph"
    --input_nodes "$input_node" --input_shapes "$input_shape" --output_nodes "$output_node"
    --input_fn edgeglyph_calibration.batch
    --method "$method" --calib_iter "$iterations" --gpu 0 --output_dir "$output")

if [ -n "$dry_run" ]; then
    show "${command[@]}"
    exit 0
fi
command -v decent_q >/dev/null ||
    absent "decent_q (DNNDK 3.x) is not on PATH; it comes with the vendor's DNNDK and in no package registry"
[ -f "$frozen_graph" ] || die "$frozen_graph: no such file; run make freeze first"
[ -f "$calibration" ] || die "$calibration: no such file; run make quantize first"

mkdir -p "$output"
# Old Python and NumPy alone: decent_q runs in the Python of TensorFlow 1.
cat >"$output/edgeglyph_calibration.py" <<MODULE
import numpy

_ARCHIVE = numpy.load(r"""$calibration""")
_IMAGES = _ARCHIVE[sorted(_ARCHIVE.files)[0]]


def batch(iteration):
    """Placeholder name to float32 images of one calibration iteration, wrapping around."""
    first = iteration * $batch
    rows = [(first + i) % len(_IMAGES) for i in range($batch)]
    return {"$input_node": _IMAGES[rows]}
MODULE
cd "$output"
rm -f quantize_eval_model.pb deploy_model.pb
run_logged "$output/decent_q.log" "${command[@]}"
for file in quantize_eval_model.pb deploy_model.pb; do
    if [ ! -s "$file" ]; then
        echo "${0##*/}: decent_q ended well but wrote no $output/$file; see $output/decent_q.log" >&2
        exit 1
    fi
done
echo "decent_q: wrote $output/deploy_model.pb"
