"""Stand-ins for the vendor's tools, which refuse what the real ones refuse."""

import os
import sys
from pathlib import Path

# Knows decent_q's options as documented; imports the input function as decent_q does, and refuses
# unknown options, other shapes and missing files.
DECENT_Q = """#!{python}
import importlib, os, sys
import numpy
if sys.argv[1:2] != ["quantize"]:
    sys.exit("decent_q: unknown command")
known = ["input_frozen_graph", "input_nodes", "input_shapes", "output_nodes", "input_fn", "method",
         "calib_iter", "gpu", "output_dir"]
rest, given = sys.argv[2:], {{}}
while rest:
    name = rest.pop(0)
    if name[:2] != "--" or name[2:] not in known or not rest:
        sys.exit("decent_q: unrecognized arguments: " + name)
    given[name[2:]] = rest.pop(0)
if set(given) != set(known) or given["method"] not in "012":
    sys.exit("decent_q: the following arguments are required: " + str(set(known) - set(given)))
if b"discriminator" not in open(given["input_frozen_graph"], "rb").read():
    sys.exit("decent_q: ValueError: node not found: " + given["output_nodes"])
sys.path.insert(0, os.getcwd())
module, function = given["input_fn"].split(".")
for i in range(int(given["calib_iter"])):
    batch = getattr(importlib.import_module(module), function)(i)
    (name, images), = batch.items()
    assert name == given["input_nodes"], name
    assert images.shape == (32, 32, 32, 1) and images.dtype == numpy.float32, images.shape
if os.environ.get("QUIET_FAILURE"):
    sys.exit(0)
for file in ("quantize_eval_model.pb", "deploy_model.pb"):
    open(os.path.join(given["output_dir"], file), "wb").write(b"graph")
"""

DNNC = """#!{python}
import os, sys
given = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("--") and "=" in a)
known = {{"parser", "frozen_pb", "dpu", "dcf", "cpu_arch", "mode", "net_name", "output_dir"}}
if set(given) - known or len(given) != len(sys.argv) - 1 or ("dpu" in given) == ("dcf" in given):
    sys.exit("[DNNC][Error] unknown or contradicting options")
if given["parser"] != "tensorflow" or given["cpu_arch"] not in ("arm32", "arm64"):
    sys.exit("[DNNC][Error] bad parser or cpu_arch")
if given.get("dpu", "1152FA") not in ("1152FA", "4096FA"):
    sys.exit("[DNNC][Error] unknown dpu")
if open(given["frozen_pb"], "rb").read() != b"graph":
    sys.exit("[DNNC][Error] not a deploy model")
for i in range(int(os.environ.get("KERNELS", "1"))):
    name = "dpu_%s_%d.elf" % (given["net_name"], i)
    open(os.path.join(given["output_dir"], name), "wb").write(b"\\x7fELF")
"""


def install(folder: Path) -> dict[str, str]:
    """Write both stand-ins; return an environment on whose PATH they are found first."""
    folder.mkdir()
    for name, text in (("decent_q", DECENT_Q), ("dnnc", DNNC)):
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
