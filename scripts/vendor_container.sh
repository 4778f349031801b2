# shellcheck shell=bash
# Where the Vitis AI tools run: on PATH, or in the vendor's container. To be sourced.
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

option+=([container]=auto [image]='' [tools-version]='')
# What docker and podman say where there is no image, or no daemon to ask.
no_container='no such image|unable to find image|image not known|cannot connect|failed to connect|permission denied'
conda=/opt/vitis_ai/conda/etc/profile.d/conda.sh

container_usage() {
    cat <<'TEXT'
  --container auto|none|docker|podman
                        none takes the tool from PATH; auto (default) does, or else runs the container
  --image NAME          the container (default: the board file's, or xilinx/vitis-ai-tensorflow-cpu:latest)
  --tools-version N.N   Vitis AI version, where it cannot be found out
  --check               say whether the tool is here, and its version
  --dry-run             print the command line, run nothing
TEXT
}

# choose_engine TOOL: set `engine` to none, docker or podman.
choose_engine() {
    option[image]=${option[image]:-${board[dpu.image]-}}
    option[image]=${option[image]:-xilinx/vitis-ai-tensorflow-cpu:latest}
    engine=${option[container]}
    case $engine in
        auto) engine=$(first_program "$1" docker podman) || engine=none
            [ "$engine" != "$1" ] || engine=none ;;
        none | docker | podman) ;;
        *) die "--container is auto, none, docker or podman, not $engine" ;;
    esac
}

# find_vitis_version: set `version`, of Vitis AI; empty where it cannot be found out. The tools count their
# own versions otherwise, so what vai_q_tensorflow says of itself is not taken.
find_vitis_version() {
    local tag=${option[image]##*:}
    version=$(version_in "${option[tools-version]}")
    [ -z "${option[tools-version]}" ] || [ -n "$version" ] ||
        die "--tools-version is like 1.4, not ${option[tools-version]}"
    if [ -z "$version" ] && [ "$engine" != none ]; then
        version=$(version_in "$tag")
    elif [ -z "$version" ]; then
        [ -z "${VAI_ROOT-}" ] || version=$(version_in "${VERSION-}") # as the container's shell sets it
    fi
}

# need_engine TOOL: end with status 3 where the tool, or the program that runs its container, is missing.
need_engine() {
    if [ "$engine" = none ]; then
        command -v "$1" >/dev/null || absent "$1 (Vitis AI) is not on PATH, so no DPU kernel can be made; activate" \
            "its conda environment, or use its container with docker or podman: see docs/vendor-tools.md"
    else
        command -v "$engine" >/dev/null || absent "$engine is not on PATH"
    fi
}

# check_engine TOOL: what --check prints.
check_engine() {
    need_engine "$1"
    local answer=''
    [ "$engine" = none ] || answer=$(timeout 30 "$engine" image inspect "${option[image]}" 2>&1) ||
        ! grep -qiE "$no_container" <<<"$answer" ||
        absent "$engine has no image ${option[image]}, or does not answer; get it with:" \
            "$engine pull ${option[image]}"
    if [ "$engine" = none ]; then
        echo "$1 ${version:-$(version_of "$1")}"
    else
        echo "$1 in ${option[image]} by $engine"
    fi
}

# enter_container FOLDER READABLE...: turn `command` into one that runs in the container. FOLDER may
# be written and is the working folder; the files READABLE can be read. All keep their paths.
enter_container() {
    local folder=$1 path inner
    [ "$engine" != none ] || return 0
    inner="if [ -f $conda ]; then . $conda && conda activate vitis-ai-tensorflow${framework-}; fi && $(show "${command[@]}")"
    # Nothing is downloaded unasked (--pull), and files belong to the user: podman does that by itself.
    command=("$engine" run --rm --pull=never)
    [ "$engine" = podman ] || command+=(--user "$(id -u):$(id -g)")
    command+=(-e HOME=/tmp -v "$folder:$folder")
    for path in "${@:2}"; do command+=(-v "$path:$path:ro"); done
    for path in "$@"; do
        case $path in *:*) die "$path: a container cannot mount a path with a colon; move it" ;; esac
    done
    command+=(-w "$folder" --entrypoint bash "${option[image]}" -c "$inner")
}

# A container program that cannot start its container is as absent as the tool.
explain_failure() {
    [ "$engine" = none ] || ! tail -n +2 "$1" | grep -qiE "$no_container" ||
        absent "$engine cannot start ${option[image]}: $(tail -n 1 "$1"); get it with: $engine pull ${option[image]}"
}
