"""Command line: ``python -m quantize run | check | compile | verify | info``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.alphabet import Alphabet, parse_alphabet
from edge_runtime.console import run_command

# The rest is imported where it is used, so that --help and mistyped options answer at once.
METHODS = ("best", "min-mse", "non-overflow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(_run, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantize",
        description="Turn a float network into the integers that boards run, and prove it.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="quantize a frozen graph or an ONNX model"))
    _add_check(commands.add_parser("check", help="say which operators a DPU runs"))
    _add_compile(commands.add_parser("compile", help="make a bundle of what run wrote"))

    verify = commands.add_parser("verify", help="prove that all integer forms agree")
    verify.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="where run wrote its files; with ARTIFACT also a quantization.json, a deploy_model.pb "
        "or a bundle",
    )
    verify.add_argument(
        "artifact",
        type=Path,
        nargs="?",
        metavar="ARTIFACT",
        help="an ELF file of dnnc or an xmodel, in which these integers are searched instead",
    )
    verify.add_argument(
        "--bundle", type=Path, metavar="FILE.egb", help="default: the bundles in DIR"
    )
    verify.add_argument(
        "--vendor",
        type=Path,
        metavar="DIR",
        help="where the vendor's quantizer wrote its graphs, to compare fix points with (default: "
        "DIR/vendor, if there is one)",
    )

    info = commands.add_parser("info", help="show layers, fix points, shifts and cost")
    info.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="a bundle, a quantization.json or its folder, an .elf of dnnc, or an .xmodel",
    )
    info.add_argument(
        "--ends",
        action="store_true",
        help="of a folder: what a DPU kernel of it must begin and "
        "end with, as options of scripts/dnnc.sh and vai_c.sh",
    )
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("model", type=Path, metavar="MODEL", help="frozen graph .pb, or float .onnx")
    run.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="IMAGES|FILE.npz",
        help="labeled images (of a manifest, its split train), or one float32 NHWC array",
    )
    run.add_argument("--output", type=Path, required=True, metavar="DIR", help="where files go")
    run.add_argument("--preset", metavar="NAME|FILE.toml", help="tiny, quick, full, or a file")
    run.add_argument(
        "--method",
        choices=METHODS,
        help="how to quantize; best tries all and keeps what is nearest to float (default)",
    )
    run.add_argument(
        "--head",
        choices=("auto", "dpu", "cpu"),
        help="last layer: dpu gives int8 logits, cpu leaves it to the CPU with int32 ones; auto "
        "(default) is cpu where method best would give int8 logits that tie too often",
    )
    run.add_argument(
        "--bias",
        choices=("board", "evaluation"),
        help="read a bias finer than its sums as the board does (default), or as the vendor's "
        "evaluation graph",
    )
    run.add_argument(
        "--align-pool",
        action="store_true",
        default=None,
        help="give what a pool reads the fix point of what it makes",
    )
    run.add_argument("--input-node", metavar="NAME", help="input of the graph")
    run.add_argument("--output-node", metavar="NAME", help="logits of the graph")
    run.add_argument(
        "--calib-batch-size", type=int, metavar="B", help="inputs per calibration batch"
    )
    run.add_argument("--calibration-count", type=int, metavar="N", help="images to calibrate on")
    run.add_argument(
        "--validation",
        type=Path,
        metavar="IMAGES",
        help="labeled images to measure accuracy on (default: a manifest's split validation)",
    )
    run.add_argument(
        "--held-out",
        type=Path,
        metavar="MANIFEST",
        help="its validation and test images must not be among the calibration images",
    )
    run.add_argument(
        "--alphabet",
        metavar="CHARACTERS",
        help="the classes in order (default: as frozen; 0-9A-Za-z for 62 classes)",
    )
    run.add_argument(
        "--max-accuracy-loss",
        type=float,
        metavar="POINTS",
        help="fail where int8 loses more than this on the validation images",
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="frozen graph .pb, or .onnx")
    parser.add_argument(
        "--target", default="B1152", metavar="SIZE", help="B512 to B4096 (default: B1152)"
    )
    parser.add_argument("--input-node", metavar="NAME", help="input of the graph")
    parser.add_argument("--output-node", metavar="NAME", help="logits of the graph")


def _add_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quantized",
        type=Path,
        required=True,
        metavar="DIR|FILE.egb",
        help="where run wrote its files; or a bundle, to put a --target's program into",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument(
        "--target",
        metavar="CORE",
        help="also compile for the open accelerator core: core128, core64 or core32",
    )
    parser.add_argument("--name", help="the bundle's name (default: the file's)")
    parser.add_argument("--board", default="host", help="the board it is for (default: host)")
    parser.add_argument(
        "--dpu-kernel",
        type=Path,
        metavar="FILE",
        help="the vendor compiler's output (.elf, .xmodel), also of your own making",
    )
    parser.add_argument(
        "--vendor",
        type=Path,
        metavar="DIR",
        help="where the graphs are that the kernel was made of, if the vendor's quantizer wrote "
        "them: they must be this network's integers",
    )
    parser.add_argument(
        "--alphabet", metavar="CHARACTERS", help="the classes in order (default: as quantized)"
    )


def _run(options: argparse.Namespace) -> int:
    steps = {
        "run": _quantize,
        "check": _check,
        "compile": _compile,
        "verify": _verify,
        "info": _info,
    }
    return steps[options.command](options)


def _quantize(options: argparse.Namespace) -> int:
    from quantize.pipeline import Request, run
    from quantize.report import summary
    from quantize.settings import load_settings

    settings = load_settings(
        options.preset,
        method=options.method,
        head=options.head,
        bias=options.bias,
        align_pool=options.align_pool,
        calibration_count=options.calibration_count,
        calib_batch_size=options.calib_batch_size,
        max_accuracy_loss=options.max_accuracy_loss,
        # A limit given by hand is meant, also where the preset only reports.
        report_only=None if options.max_accuracy_loss is None else False,
    )
    result = run(
        Request(
            options.model,
            options.calibration,
            options.output,
            settings,
            options.input_node,
            options.output_node,
            options.validation,
            options.held_out,
            _alphabet(options),
        )
    )
    print(summary(result, options.output))
    return 0


def _check(options: argparse.Namespace) -> int:
    from edge_runtime.errors import GraphError
    from quantize.check import check

    report = check(options.model, options.target, options.input_node, options.output_node)
    print(report.text())
    if not report.fits:
        raise GraphError(report.problem)
    return 0


def _compile(options: argparse.Namespace) -> int:
    from edge_runtime.errors import InputError
    from quantize.compile import CompileRequest, compile_bundle
    from quantize.core.pack import add_core, write_listing

    if options.quantized.suffix == ".egb":
        if options.target is None:
            raise InputError(
                f"{options.quantized}: is compiled; --target CORE adds a program to it"
            )
        print(
            write_listing(
                add_core(options.quantized, options.output, options.target), options.output
            )
        )
        return 0
    bundle = compile_bundle(
        CompileRequest(
            options.quantized,
            options.output,
            options.name or options.output.stem,
            options.board,
            options.dpu_kernel,
            _alphabet(options),
            options.vendor,
            options.target,
        )
    )
    size = options.output.stat().st_size
    print(
        f"{options.output}: {size:,} bytes, {len(bundle.alphabet)} classes, self-test of "
        f"{len(bundle.golden.inputs)} golden vectors passed"
    )
    if options.target is not None:
        print(write_listing(bundle, options.output))
    return 0


def _verify(options: argparse.Namespace) -> int:
    if options.artifact is not None:
        return _verify_artifact(options)
    from quantize.verify import verify

    for each in verify(options.folder, options.bundle):
        print(f"ok  {each.what}: {each.how}")
    return _verify_vendor(options)


def _verify_vendor(options: argparse.Namespace) -> int:
    """Print where the vendor's fix points are not ours; 1 where there are such."""
    folder = options.vendor or options.folder / "vendor"
    if options.vendor is None and not folder.is_dir():
        return 0
    from quantize.artifacts import read_quantization
    from quantize.vendor import positions

    ours = positions.our_positions(read_quantization(options.folder))
    code = 0
    for path in positions.find_graphs(folder):
        found = positions.differences(ours, positions.vendor_positions(path))
        if not found:
            print(f"ok  {path.name} of the vendor: all {len(ours)} fix points are ours")
            continue
        print(f"differs  {path.name} of the vendor: {len(found)} of {len(ours)} fix points")
        print(positions.table_of(found))
        code = 1
    return code


def _verify_artifact(options: argparse.Namespace) -> int:
    from quantize.vendor.verify import check_found, compare_artifact

    compared = compare_artifact(options.folder, options.artifact)
    for each in compared:
        print(each)
    check_found(compared, options.artifact)
    return 0


def _info(options: argparse.Namespace) -> int:
    if options.ends:
        from quantize.artifacts import read_quantization
        from quantize.vendor.kernel import expected_ends

        print("\n".join(expected_ends(read_quantization(options.path).network)))
        return 0
    from quantize.info import describe

    print(describe(options.path))
    return 0


def _alphabet(options: argparse.Namespace) -> Alphabet | None:
    return None if options.alphabet is None else parse_alphabet(options.alphabet)


if __name__ == "__main__":
    sys.exit(main())
