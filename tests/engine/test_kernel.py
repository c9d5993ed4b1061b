"""Kernels: compiled once, loaded without what compiling needs, and the same either way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORK = """
import sys
import numpy as np
from cuvee.engine.group import _unite, verified
parent, pairs = np.arange(9), np.array([[0, 4, 6], [4, 2, 8]])
_unite(parent, *pairs)
checks = np.arange(24, dtype=np.uint8).reshape(6, 4) // 5
found = verified(np.array([0, 3]), np.array([3, 6]), checks, 2)
print(parent.tolist(), [one.tolist() for one in found], "numba.np.arraymath" in sys.modules)
"""


def run(cache: Path) -> tuple[str, bool]:
    """The kernel's answer in a process of its own, and whether Numba was made ready to compile there."""
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer, ready = done.stdout.strip().rsplit(" ", 1)
    return answer, ready == "True"


def test_compiled_code_is_loaded_without_what_compiling_needs(tmp_path: Path) -> None:
    compiled, loaded = run(tmp_path), run(tmp_path)
    assert compiled[0] == loaded[0]
    assert compiled[1] and not loaded[1]
    for damaged in tmp_path.rglob("*.nbc"):
        damaged.write_bytes(damaged.read_bytes()[:100])
    assert run(tmp_path)[0] == compiled[0]  # compiled again
