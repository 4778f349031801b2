"""What a measurement belongs to: processor, system, Python."""

import os
import platform
import re
from pathlib import Path
from typing import Any

_TELLING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "neon")


def describe_machine() -> dict[str, Any]:
    """Processor, instruction sets, processors, memory, system, load before the measurement."""
    flags = set(_first("flags", "Features").split())
    memory = re.search(r"MemTotal:\s+(\d+)", _read("/proc/meminfo"))
    load = os.getloadavg()[0]
    return {
        "processor": _first("model name", "Model", "CPU part") or platform.processor(),
        "machine": platform.machine(),
        "instruction_sets": [flag for flag in _TELLING if flag in flags],
        "processors": len(os.sched_getaffinity(0)),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        "memory_mib": int(memory[1]) // 1024 if memory else None,
        "system": f"{platform.system()} {platform.release()}",
        "virtual": "hypervisor" in flags,
        "python": platform.python_version(),
        "load_average": round(load, 2),
    }


def _first(*keys: str) -> str:
    text = _read("/proc/cpuinfo")
    for key in keys:
        found = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return found[1].strip()
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
