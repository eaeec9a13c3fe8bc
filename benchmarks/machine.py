"""What the figures were measured on, and with which versions."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from local.emulator import ensure_environment
from local.say import Say

PACKAGES = ("boto3", "botocore", "aws-lambda-powertools", "pydantic")
EMULATOR = "ministack"
GIB = 2**30


def machine() -> dict[str, object]:
    """Return the machine."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "platform": platform.platform(),
        # Over the last minutes: figures of a machine that did other things too are worse than its own.
        "load_average": round(os.getloadavg()[1], 1),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(say: Say) -> dict[str, str]:
    """Return the versions of what was measured, and of what it was measured against."""
    asked = f"import importlib.metadata; print(importlib.metadata.version({EMULATOR!r}))"
    done = subprocess.run(  # noqa: S603 - our own words
        [ensure_environment(say), "-c", asked], capture_output=True, text=True, check=True
    )
    return {**{name: version(name) for name in PACKAGES}, EMULATOR: done.stdout.strip()}


def _cpu() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text("utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
