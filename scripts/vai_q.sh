#!/usr/bin/env bash
# Quantize a frozen graph with the vendor's vai_q_tensorflow (Vitis AI), fed with our calibration inputs.
set -euo pipefail
# shellcheck source=scripts/vendor_quantizer.sh
. "$(dirname "${BASH_SOURCE[0]}")/vendor_quantizer.sh"
# shellcheck source=scripts/vendor_container.sh
. "$scripts/vendor_container.sh"

usage() {
    quantizer_usage "Vitis AI"
    container_usage
    cat <<'TEXT'

Writes quantize_eval_model.pb, vai_q.log and, up to Vitis AI 1.3, deploy_model.pb into DIR.
TEXT
}

parse_options "$@"
load_board
need_flow vitis-ai "Vitis AI"
choose_engine vai_q_tensorflow
find_vitis_version
if [ -n "${flag[check]}" ]; then
    check_engine vai_q_tensorflow
    exit
fi
check_quantizer_options
quantizer_command vai_q_tensorflow
enter_container "${option[output]}" "${option[frozen-graph]}" "${option[calibration]}"
if [ -n "${flag[dry-run]}" ]; then
    say "runs in ${option[output]}, where $module.py reads ${option[calibration]}:"
    show "${command[@]}"
    exit
fi
need_engine vai_q_tensorflow
graphs=(quantize_eval_model.pb)
if [ -n "$version" ] && older "$version" 1.4; then graphs+=(deploy_model.pb); fi
run_quantizer vai_q "${graphs[@]}"
