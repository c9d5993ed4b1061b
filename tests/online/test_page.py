"""The page's PyTorch program: killed and started again, it ends as it would have without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.test_docs import fenced

pytest.importorskip("torch")
PAGE = Path(__file__).parents[2] / "docs/online.md"


def test_the_torch_loop(demo_table: pa.Table, tmp_path: Path) -> None:
    few = demo_table.filter(pc.is_in(demo_table["domain"], pa.array(["code-python", "dialogue", "fiction"])))
    few = few.take(np.arange(0, few.num_rows, 16))
    (program,) = [block.content for block in fenced(PAGE) if block.file == "train.py"]
    said = []
    for name, edit in (("whole", None), ("killed", "\n    if turn.number == 5:\n        raise SystemExit(7)\n")):
        folder = tmp_path / name
        (folder / "pool").mkdir(parents=True)
        pq.write_table(few, folder / "pool/part.parquet")
        (folder / "train.py").write_text(program)
        if edit:
            broken = program.replace("\nprint({name", edit + "print({name")
            assert broken != program
            (folder / "broken.py").write_text(broken)
            assert run(folder, "broken.py").returncode == 7
        done = run(folder, "train.py")
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1] and said[0].strip().endswith("120")


def run(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, name], cwd=folder, env=os.environ | threads, capture_output=True, text=True)
