"""Compiled kernels where neither the installation nor the user's folder can be written, as in many containers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cuvee.engine.kernel import own_folder

# root may write anywhere, so that a folder beside the sources refuses is played
SCRIPT = """
import tempfile
made = tempfile.TemporaryFile
def refusing(*given, dir=None, **named):
    if str(dir).endswith("__pycache__"):
        raise PermissionError(13, "Read-only file system", str(dir))
    return made(*given, dir=dir, **named)
tempfile.TemporaryFile = refusing
import numpy as np
from cuvee.mix.interleave import interleave
print(interleave(np.array([2, 1])).tolist())
"""


def ran(temporary: Path) -> str:
    nowhere = {"HOME": "/dev/null/home", "NUMBA_CACHE_DIR": "/dev/null/numba", "XDG_CACHE_HOME": "/dev/null/cache"}
    environment = {**os.environ, **nowhere, "TMPDIR": str(temporary)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.strip()


def test_a_folder_for_temporary_files_is_used(tmp_path: Path) -> None:
    assert ran(tmp_path) == "[0, 0, 1]"
    place = tmp_path / f"cuvee-kernels-{os.getuid()}"
    assert place.stat().st_mode & 0o777 == 0o700
    kept = {path: path.stat().st_mtime_ns for path in place.rglob("*.nbc")}
    assert kept
    assert ran(tmp_path) == "[0, 0, 1]"
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.nbc")} == kept, "compiled once"


def test_a_folder_that_others_can_write_is_never_used(tmp_path: Path) -> None:
    place = tmp_path / f"cuvee-kernels-{os.getuid()}"
    place.mkdir()
    place.chmod(0o777)
    assert ran(tmp_path) == "[0, 0, 1]"
    assert not list(place.iterdir())


def test_whose_folder_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"cuvee-kernels-{os.getuid()}"
    assert own_folder() == place == own_folder()
    place.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    assert own_folder() is None
    place.unlink()
    place.write_text("")
    assert own_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/none")
    assert own_folder() is None
