"""A stand-in for docker and podman: runs the command here, with the container's PATH.

$IMAGES names the images that are there, $INSIDE the folder of the container's programs.
"""

import os
import re
import subprocess
import sys

WITH_VALUE = ("--user", "-e", "-v", "-w", "--entrypoint")


def main() -> None:
    """Run or inspect, or end as docker does."""
    images = os.environ.get("IMAGES", "").split()
    if sys.argv[1:3] == ["image", "inspect"]:
        sys.exit(0 if sys.argv[3] in images else f"Error: No such image: {sys.argv[3]}")
    if sys.argv[1:2] != ["run"]:
        sys.exit(f"docker: '{sys.argv[1]}' is not a docker command.")
    options: list[tuple[str, str]] = []
    rest = sys.argv[2:]
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        if name in WITH_VALUE:
            options.append((name, rest.pop(0)))
        elif name not in ("--rm", "--pull=never"):
            print(f"unknown flag: {name}", file=sys.stderr)
            sys.exit(125)
    image, *command = rest
    if image not in images:
        print(f"docker: Error response from daemon: No such image: {image}.", file=sys.stderr)
        sys.exit(125)
    run(options, command)


def run(options: list[tuple[str, str]], command: list[str]) -> None:
    """Refuse paths of this machine that are not mounted; then run."""
    mounts = [value.split(":") for name, value in options if name == "-v"]
    assert all(mount[0] == mount[1] for mount in mounts), mounts
    for path in re.findall(r"/[^ '\"]+", " ".join(command)):
        mounted = any(path == m[0] or path.startswith(m[0] + "/") for m in mounts)
        if os.path.exists(path) and not mounted:  # noqa: PTH110
            sys.exit(f"bash: {path}: No such file or directory")
    values = dict(options)
    environment = os.environ | {"PATH": f"{os.environ['INSIDE']}:/usr/bin:/bin"}
    done = subprocess.run(
        [values["--entrypoint"], *command], cwd=values["-w"], env=environment, check=False
    )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
