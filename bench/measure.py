"""Timing whole processes: CPU seconds, wall seconds and peak memory as the operating system counts them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One finished process."""

    cpu: float
    wall: float
    peak_mb: float
    output: str


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end; raise if it fails. The peak is the largest of its processes.

    Modules are loaded from byte code, as they are where a package is installed, even if the shell around forbids it.
    """
    started = time.perf_counter()
    read, write = os.pipe()
    around = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=write, env={**around, **(environment or {})}, cwd=ROOT)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        output = stream.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, output)


def python(code: str, *arguments: str, environment: dict[str, str] | None = None) -> Run:
    """Run a piece of Python in a process of its own."""
    return run([sys.executable, "-c", code, *arguments], environment)


def in_turn(
    commands: dict[str, Sequence[str]], rounds: int, environment: dict[str, str] | None = None
) -> dict[str, list[Run]]:
    """Run the commands one after the other, ``rounds`` times, so that a drift of the machine meets all alike."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(run(command, environment))
    return found


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import numba
    import numpy
    import pyarrow

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "pyarrow": pyarrow.__version__,
        "load_before": os.getloadavg()[0],
    }


def record(name: str, figures: dict[str, Any]) -> None:
    """Write a result file and print it."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"name": name, "machine": machine(), **figures}, indent=1, default=asdict)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
