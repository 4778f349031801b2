"""A stand-in for vai_c_tensorflow: $VAI_VERSION says how old (default 3.5).

$FAULT: subgraphs, empty, arch (compiles for another DPU), and those of `kernel_list`.
"""

import argparse
import ast
import hashlib
import json
import os
import sys
from pathlib import Path

from tests.stand_ins.deploy_graph import RefusedError, evaluation_network, read_nodes
from tests.stand_ins.kernel_list import compile_elf
from tests.xmodel_files import xmodel

SIZES = {
    "10200": "B512", "10201": "B800", "10402": "B1024", "10203": "B1152", "10404": "B1600",
    "10405": "B2304", "10406": "B3136", "10407": "B4096",
}  # fmt: skip
STOCK = "/opt/vitis_ai/compiler/arch/DPUCZDX8G/"  # of the container
BANNER = f"{'*' * 50}\n* VITIS_AI Compilation - Xilinx Inc.\n{'*' * 50}"


def main() -> None:
    """Compile, or end as the real one does."""
    parser = argparse.ArgumentParser(prog="vai_c_tensorflow", allow_abbrev=False)
    parser.add_argument("-f", "--frozen_pb", required=True)
    parser.add_argument("-a", "--arch", required=True)
    parser.add_argument("-o", "--output_dir", required=True)
    parser.add_argument("-n", "--net_name", required=True)
    parser.add_argument("--options", default="{}")
    given = parser.parse_args()
    print(BANNER)
    old = tuple(map(int, os.environ.get("VAI_VERSION", "3.5").split(".")[:2])) < (1, 3)
    target = target_of(given.arch)
    try:
        if old:
            assert ast.literal_eval(given.options) == {"mode": "normal"}, given.options
            size = target.split("_")[2]
            compile_elf(given.frozen_pb, given.net_name, given.output_dir, size, "VAI_C")
        else:
            assert json.loads(given.options) == {"input_shape": "1,32,32,1"}, given.options
            compile_xmodel(given, target)
    except RefusedError as error:
        fatal(f"[XCOM_ERROR] {error}")


def target_of(path: str) -> str:
    """Name of the DPU that an arch file describes."""
    if path.startswith(STOCK) and path.removeprefix(STOCK).split("/")[0] in (
        *("ZCU102", "ZCU104", "KV260"),
    ):
        return "DPUCZDX8G_ISA1_B4096"
    arch = json.loads(Path(path).read_text())
    if "target" in arch:
        return str(arch["target"])
    fingerprint = int(arch["fingerprint"], 16)
    digits = f"{fingerprint:016x}"
    if not digits.startswith("0101000056") and not digits.startswith("0101000016"):
        fatal(
            "[TARGET_FACTORY_UNREGISTERED_TARGET][Unregistered target!] Cannot find or create "
            f"target with fingerprint=0x{digits}"
        )
    if os.environ.get("FAULT") == "arch":
        digits = "0101000056010402"
    return f"DPUCZDX8G_ISA1_{SIZES[digits[-5:]]}_{digits}"


def compile_xmodel(given: argparse.Namespace, target: str) -> None:
    """Write NAME.xmodel and what lies beside it."""
    nodes = read_nodes(given.frozen_pb)
    if not any(node.op == "FixNeuron" for node in nodes.values()):
        raise RefusedError(f"{given.frozen_pb} is not quantized")
    fault = os.environ.get("FAULT")
    print(f"[UNILOG][INFO] Compile mode: dpu\n[UNILOG][INFO] Target architecture: {target}")
    count = 2 if fault == "subgraphs" else 1
    print(f"[UNILOG][INFO] Total device subgraph number {count + 2}, DPU subgraph number {count}")
    if fault == "empty":
        return
    folder = Path(given.output_dir)
    ends, classes, parameters = evaluation_network(nodes)
    stock = 0x101000056010407
    name, _, digits = target.rpartition("_")
    fingerprint = int(digits, 16) if len(digits) == 16 else stock
    data = xmodel(ends, classes, parameters, count, name, fingerprint)
    (folder / f"{given.net_name}.xmodel").write_bytes(data)
    (folder / "md5sum.txt").write_text(hashlib.md5(data).hexdigest() + "\n")
    (folder / "meta.json").write_text(json.dumps({"target": target}))
    print("[UNILOG][INFO] Compile done.")


def fatal(why: str) -> None:
    """Print as the vendor's logger does, and end as after an abort."""
    print(f"[UNILOG][FATAL]{why}", file=sys.stderr)
    sys.exit(134)


if __name__ == "__main__":
    main()
