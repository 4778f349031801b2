"""What the ELF-writing compilers print and write, dnnc and the first vai_c alike."""

import os
from pathlib import Path

from edge_runtime.layers import Conv, IntegerNetwork
from tests.dnndk_files import dnndk_elf
from tests.stand_ins.deploy_graph import network_of, read_nodes


def compile_elf(model: str, net: str, output: str, target: str, tool: str) -> None:
    """Compile a deploy graph; $FAULT makes what users have reported: kernels, node, empty, list."""
    network, cpu = network_of(read_nodes(model))
    fault = os.environ.get("FAULT", "")
    for name in cpu:
        print(
            f"[{tool}][Warning] layer [{name}] is not supported in DPU, deploy it in CPU instead."
        )
    kernels = 2 if fault == "kernels" else 1
    total = kernels + (1 if cpu else 0)
    names = [f"{net}_{i}" for i in range(total)]
    if fault != "list":
        print(f'\n{tool} kernel list info for network "{net}"')
        print("\n".join(f"{'Kernel ID : Name':>48}\n{i:>40} : {n}" for i, n in enumerate(names)))
    for i, name in enumerate(names):
        on_dpu = i < kernels
        if fault != "list":
            _describe(network, name, "DPUKernel" if on_dpu else "CPUKernel", fault == "node")
        if on_dpu and fault != "empty":
            path = Path(output) / f"dpu_{name}.elf"
            path.write_bytes(dnndk_elf(network, name, target))


def _describe(network: IntegerNetwork, name: str, kind: str, other_node: bool) -> None:
    layers = [layer.name.replace("/", "_") for layer in network.layers if isinstance(layer, Conv)]
    first = "another_Conv2D" if other_node else layers[0]
    shape = "*".join(map(str, network.input_shape))
    print(f"\n{'Kernel Name':>40} : {name}\n{'-' * 80}\n{'Kernel Type':>40} : {kind}")
    print(f"{'Code Size':>40} : 0.01MB\n{'Node Count':>40} : {len(layers)}")
    print(f"{'Input Node(s)(H*W*C)':>40}\n{first + '(0)':>40} : {shape}")
    print(f"{'Output Node(s)(H*W*C)':>40}\n{layers[-1] + '(0)':>40} : 1*1*{network.classes}\n")
