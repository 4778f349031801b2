"""A stand-in for DNNDK's dnnc: its documented options, its output, its refusals."""

import os
import sys

VALUES = ("parser", "frozen_pb", "dpu", "dcf", "cpu_arch", "mode", "net_name", "output_dir")


def main() -> None:
    """Compile, or end with the vendor's kind of message."""
    if sys.argv[1:] == ["--version"]:
        print(f"dnnc version {os.environ.get('DNNC_VERSION', 'v3.00')}\nDPU Target : v1.4.0")
        return
    given = {}
    for argument in sys.argv[1:]:
        name, equals, value = argument.partition("=")
        if argument == "--save_kernel":
            continue
        if not equals or not value or name.removeprefix("--") not in VALUES or name in given:
            end(f"unknown argument {argument}")
        given[name.removeprefix("--")] = value
    check(given)
    target = "B4096" if given.get("dpu") == "4096FA" else "B1152"
    from tests.stand_ins.deploy_graph import RefusedError
    from tests.stand_ins.kernel_list import compile_elf

    try:
        compile_elf(given["frozen_pb"], given["net_name"], given["output_dir"], target, "DNNC")
    except RefusedError as error:
        end(str(error))


def check(given: dict[str, str]) -> None:
    """Refuse what the documentation does not allow."""
    missing = set(VALUES) - set(given) - {"dpu", "dcf"}
    if missing:
        end(f"missing {', '.join(sorted(missing))}")
    if given["parser"] != "tensorflow" or given["mode"] not in ("normal", "debug"):
        end("bad parser or mode")
    if given["cpu_arch"] not in ("arm32", "arm64") or ("dpu" in given) == ("dcf" in given):
        end("bad cpu_arch, or not one of dpu and dcf")
    if given.get("dpu", "1152FA") not in ("1152FA", "4096FA"):
        end(f"unsupported DPU type {given['dpu']}")
    for key in ("frozen_pb", "dcf", "output_dir"):
        if key in given and not os.path.exists(given[key]):  # noqa: PTH110
            end(f"{key} {given[key]} does not exist")


def end(why: str) -> None:
    """Print as dnnc does, and fail."""
    print(f"[DNNC][Error] {why}")
    sys.exit(255)


if __name__ == "__main__":
    main()
