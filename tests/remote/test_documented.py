"""The commands in the section on remote pools are run, against a server where the page says that one is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import cuvee

from ..command import cuvee as command
from ..command import inside
from .stage import Bucket

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def test_commands(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = Path(cuvee.__file__).parent / "demo"
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("cuvee ")]
    assert len(lines) >= 4 and any("endpoint_override" in line for line in lines)
    bucket = Bucket.new("my-bucket", server)
    (tmp_path / "target.jsonl").write_bytes((demo / "target.jsonl").read_bytes())
    bucket.put("pool/a.jsonl", (demo / "evaluation.jsonl").read_bytes())
    bucket.put("pool/b.parquet", (demo / "pool.parquet").read_bytes())
    with inside(tmp_path):
        for line in lines:
            words = shlex.split(line.replace("127.0.0.1:9000", f"127.0.0.1:{server}"))[1:]
            if "endpoint_override" in line:
                monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
            else:
                monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server}")
            answer = command(*words, "--quiet")
            assert answer.status == 0, (line, answer)
    assert any(key.startswith("train/part-00000-") for key in bucket.keys("train"))
