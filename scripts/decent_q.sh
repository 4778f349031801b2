#!/usr/bin/env bash
# Quantize a frozen graph with the vendor's decent_q (DNNDK 3.x), fed with our calibration inputs.
set -euo pipefail
# shellcheck source=scripts/vendor_quantizer.sh
. "$(dirname "${BASH_SOURCE[0]}")/vendor_quantizer.sh"

usage() {
    quantizer_usage DNNDK
    cat <<'TEXT'
  --check               say whether decent_q is here, and its version
  --dry-run             print the command line, run nothing

Writes quantize_eval_model.pb, deploy_model.pb and decent_q.log into DIR.
TEXT
}

need_decent_q() {
    command -v decent_q >/dev/null || absent "decent_q (DNNDK 3.x) is not on PATH; it comes with the" \
        "vendor's DNNDK and in no package registry: see docs/vendor-tools.md"
}

parse_options "$@"
load_board
need_flow dnndk DNNDK
if [ -n "${flag[check]}" ]; then
    need_decent_q
    echo "decent_q $(version_of decent_q)"
    exit
fi
check_quantizer_options
quantizer_command decent_q
if [ -n "${flag[dry-run]}" ]; then
    say "runs in ${option[output]}, where $module.py reads ${option[calibration]}:"
    show "${command[@]}"
    exit
fi
need_decent_q
run_quantizer decent_q quantize_eval_model.pb deploy_model.pb
