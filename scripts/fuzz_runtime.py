"""Fuzz the on-board readers with libFuzzer and sanitizers: bundles, images, JSON.

Needs clang (Debian: clang). Seeds are made from the tests' own files; what a run finds stays in
edge_runtime/cpp/build/fuzz/, and an input that crashes is written there and named.
"""

import argparse
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build_runtime import PROGRAM_ONLY

ROOT = Path(__file__).resolve().parent.parent
CPP = ROOT / "edge_runtime/cpp"
TARGETS = {"image": 20_000, "bundle": 60_000, "json": 4_000}  # and the longest input tried
FLAGS = [
    *("-std=c++17", "-O2", "-g", "-fno-omit-frame-pointer", "-pthread"),
    *("-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-recover=all"),
    "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION",
    f"-I{CPP / 'include'}",
    f"-I{CPP / 'src'}",
]


def build(cxx: str, output: Path) -> dict[str, Path]:
    """Compile all sources once, and link each target with them."""
    output.mkdir(parents=True, exist_ok=True)
    sources = [s for s in sorted((CPP / "src").glob("*.cpp")) if s.name not in PROGRAM_ONLY]
    sources += [CPP / f"fuzz/fuzz_{target}.cpp" for target in TARGETS]

    def compile_one(source: Path) -> str:
        made = output / f"{source.stem}.o"
        subprocess.run([cxx, *FLAGS, "-c", source, "-o", made], check=True)
        return str(made)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    library, mains = objects[: -len(TARGETS)], objects[-len(TARGETS) :]
    link = ["-fsanitize=fuzzer,address,undefined", "-pthread"]
    for target, main_object in zip(TARGETS, mains, strict=True):
        command = [cxx, main_object, *library, *link, "-o", str(output / f"fuzz_{target}")]
        subprocess.run(command, check=True)
    return {target: output / f"fuzz_{target}" for target in TARGETS}


def write_seeds(folder: Path) -> None:
    """Small valid files for each target to start from."""
    sys.path.insert(0, str(ROOT))  # the tests' writers are not installed
    from edge_runtime import container
    from edge_runtime.bundle import write_bundle
    from tests.conftest import branched_bundle, toy_bundle
    from tests.image_files import jpeg_files, lossless_files
    from tests.networks import random_bundle

    for target in TARGETS:
        (folder / target).mkdir(parents=True, exist_ok=True)
    for name, data in [*lossless_files(1), *jpeg_files(1)]:
        (folder / "image" / name).write_bytes(data)
    bundles = [toy_bundle(), branched_bundle(), *map(random_bundle, range(12))]
    for i, bundle in enumerate(bundles):
        path = folder / f"bundle/{i}.egb"
        write_bundle(path, bundle)
        sections = container.unpack(path.read_bytes(), str(path))
        for section in ("manifest", "layers"):
            (folder / f"json/{i}.{section}").write_bytes(sections[section])


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz_runtime", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    parser.add_argument("--cxx", default="clang++")
    options = parser.parse_args()
    if not shutil.which(options.cxx):
        print(f"fuzz_runtime: {options.cxx}: not found; install clang", file=sys.stderr)
        return 2
    output = CPP / "build/fuzz"
    programs = build(options.cxx, output)
    write_seeds(output / "seeds")
    for target, program in programs.items():
        if options.target not in (None, target):
            continue
        found = output / "found" / target
        found.mkdir(parents=True, exist_ok=True)
        print(f"== {target}: {options.seconds} s", flush=True)
        limits = [f"-max_total_time={options.seconds}", f"-max_len={TARGETS[target]}"]
        limits += ["-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]
        prefix = f"-artifact_prefix={output}/{target}-"
        folders = [found, output / "seeds" / target]
        done = subprocess.run([program, *limits, prefix, *folders], check=False)
        if done.returncode:
            print(
                f"fuzz_runtime: {target} failed; its input is {output}/{target}-…", file=sys.stderr
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
