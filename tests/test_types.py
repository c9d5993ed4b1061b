"""Type hints hold. A test, so that it runs beside the others: it takes one core for more than a minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_types() -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
