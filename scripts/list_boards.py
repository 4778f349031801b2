"""List the boards, and what this machine can build for each: ``make boards``.

The program needs a cross-compiler; a DPU kernel the vendor's compiler, which its wrapper in this
folder looks for. What cannot be built is explained below the table.
"""

import subprocess
import sys
from pathlib import Path

from build_runtime import find_compilers
from tabulate import tabulate

from edge_runtime.board import Board, board_names, read_board
from edge_runtime.errors import EdgeGlyphError

VENDOR = Path(__file__).with_name("vendor.sh")
_FLOWS = {"dnndk": "DNNDK", "vitis-ai": "Vitis AI"}
_NOT_INSTALLED = 3  # the wrappers' exit code


def main() -> int:
    """Run the command line; return the exit code."""
    try:
        rows, reasons = [], dict[str, list[str]]()
        for name in board_names():
            board = read_board(name)
            program, kernel = _program(board), _kernel(board)
            rows.append([name, board.title, board.abi, program[0], _dpu(board), kernel[0]])
            for why in (program[1], kernel[1]):
                if why:
                    reasons.setdefault(why, []).append(name)
    except EdgeGlyphError as error:
        print(f"list_boards: {error}", file=sys.stderr)
        return error.exit_code
    headers = ["board", "", "ABI", "program", "DPU", "DPU kernel"]
    print(tabulate(rows, headers, tablefmt="simple"))
    if reasons:
        print("\nNot on this machine:")
        for why, names in reasons.items():
            print(f"  {', '.join(names)}: {why}")
    print("\nmake runtime BOARD=NAME builds the program, make compile BOARD=NAME the bundle.")
    return 0


def _program(board: Board) -> tuple[str, str]:
    """What compiles the on-board program, or why nothing does."""
    found = find_compilers(board)
    if found:
        return f"yes ({', '.join(found)})", ""
    gcc = f"{board.runtime.gcc_triple}-g++".removeprefix("-")
    zig = "pip install 'edgeglyph[runtime]' (zig), or " if board.runtime.zig_target else ""
    return "no", f"no compiler: {zig}install {gcc}"


def _dpu(board: Board) -> str:
    return "none" if board.dpu is None else f"{board.dpu.target}, {_FLOWS[board.dpu.flow]}"


def _kernel(board: Board) -> tuple[str, str]:
    """What compiles a DPU kernel, or why nothing does."""
    if board.dpu is None:
        return "", ""
    command = [str(VENDOR), "compile", board.name, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return f"yes ({done.stdout.strip()})", ""
    why = done.stderr.strip().partition(": ")[2] or f"{VENDOR} ended with {done.returncode}"
    # One reason for several boards is said once.
    return "no", why.replace(f" for {board.name}", "")


if __name__ == "__main__":
    sys.exit(main())
