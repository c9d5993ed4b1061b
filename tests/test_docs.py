"""The documentation is run: commands, Python and plug-in packages; links resolve, options are mentioned, pages fresh.

Each page is worked through in a folder of its own that holds what the pages speak of: blocks marked ``sh`` command by
command (status 0, or the one that stands behind it as ``# exit N``), blocks marked ``python`` as one program. A block
after a line "File `NAME`:" is written to that file instead; a pyproject.toml with entry points is installed for the
page, by a dist-info folder.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cuvee import registry
from cuvee.cli import cli
from cuvee.errors import CuveeError

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
METHODS = sorted((ROOT / "docs" / "methods").glob("*.md"))
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"File `([^`]+)`:\s*\Z")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
DEMO = ROOT / "src" / "cuvee" / "demo"


@dataclass(frozen=True)
class Fenced:
    """One fenced block: its language, its content, and the file that it is, if the page says so."""

    language: str
    content: str
    file: str | None


def fenced(page: Path) -> list[Fenced]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        name = NAMED.search(text[: match.start()])
        found.append(Fenced(match[1], match[2], name[1] if name else None))
    return found


def commands(block: str) -> Iterator[tuple[list[str], int]]:
    """The cuvee commands of a block, with the status that stands behind each. Globs are left for cuvee."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["cuvee"]:
            stated = re.search(r"#.*\bexit (\d+)", line)
            yield words[1:], int(stated[1]) if stated else 0


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """What the pages speak of, cut from the demonstration pool."""
    folder = tmp_path_factory.mktemp("docs")
    picks = np.linspace(0, demo_table.num_rows - 1, 1_200).astype(np.int64)
    table = demo_table.take(picks)
    (folder / "pool").mkdir()
    pq.write_table(table.slice(0, 700), folder / "pool" / "part-0.parquet")
    pq.write_table(table.slice(700), folder / "pool" / "part-1.parquet")
    lines = [json.dumps(row) for row in table.slice(0, 300).to_pylist()]
    (folder / "pool.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "broken.jsonl").write_text("\n".join([*lines[:50], "not json", '{"id": "x"}']) + "\n")
    (folder / "empty.jsonl").write_text('{"text": ""}\n')
    shutil.copy(DEMO / "target.jsonl", folder)
    shutil.copy(DEMO / "evaluation.jsonl", folder)
    documents = (DEMO / "evaluation.jsonl").read_text().splitlines(keepends=True)
    held_out = [line for line in documents if json.loads(line)["domain"] == "sqlite-docs"]
    (folder / "held-out.jsonl").write_text("".join(held_out))
    body = table.slice(0, 60).rename_columns(["id", "domain", "source", "body"])
    pyarrow.csv.write_csv(body, folder / "table.csv")
    (folder / "notes" / "essays").mkdir(parents=True)
    for number, text in enumerate(table.column("text").to_pylist()[:20]):
        (folder / "notes" / "essays" / f"{number}.txt").write_text(text)
    np.save(folder / "embeddings.npy", np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32))
    return folder


def install(content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the entry points of a pyproject.toml known, as an installer would."""
    project = tomllib.loads(content)["project"]
    place = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = []
    for group, named in project["entry-points"].items():
        points += [f"[{group}]", *(f"{name} = {place}" for name, place in named.items())]
    (place / "entry_points.txt").write_text("\n".join(points) + "\n")
    monkeypatch.syspath_prepend(str(folder))


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """One command in this process: its exit status and what it said."""
    monkeypatch.setattr(sys, "argv", ["cuvee", *words])
    result = CliRunner().invoke(cli, words)
    if isinstance(result.exception, CuveeError):
        return result.exception.exit_status, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """Methods are looked up anew, before and after."""
    caches = (registry.entries, registry.found_in)
    for one in caches:
        one.cache_clear()
    before = set(sys.modules)
    yield
    for one in caches:
        one.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("cuvee_"):
            del sys.modules[name]


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_runs(page: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command ends with the status that the page states, and every piece of Python runs."""
    folder = tmp_path / "work"
    shutil.copytree(data, folder)
    monkeypatch.chdir(folder)
    blocks = fenced(page)
    for block in blocks:
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.content, encoding="utf-8")
            if block.file == "pyproject.toml":
                install(block.content, folder, monkeypatch)
    importlib.invalidate_caches()
    names: dict[str, Any] = {"__name__": "__docs__"}
    for block in blocks:
        if block.language == "sh" and block.file is None:
            for words, expected in commands(block.content):
                status, said = run(words, monkeypatch)
                assert status == expected, f"{page.name}: cuvee {shlex.join(words)} ends with {status}: {said}"
        elif block.language == "python" and block.file is None:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.content, str(page), "exec"), names)


def test_pages_hold_something_to_run() -> None:
    """No skipped run: the pages hold commands and Python, and statuses other than 0 are found."""
    found = [
        one for page in DOCS for block in fenced(page) if block.language == "sh" for one in commands(block.content)
    ]
    assert len(found) > 45 and {status for _, status in found} == {0, 1, 2, 3}
    assert sum(block.language == "python" for page in DOCS for block in fenced(page)) > 8


def test_pages_of_methods_are_fresh() -> None:
    """The index, the pages, laws.md and measured.json are what scripts/make_docs.py writes."""
    script = ROOT / "scripts" / "make_docs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_option_is_mentioned() -> None:
    """Each option of each command stands on some page under docs/, and each command has a place there."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS)
    lacking = []
    for name, command in cli.commands.items():
        assert re.search(rf"\bcuvee {name}\b", text), name
        for parameter in [*cli.params, *command.params]:
            if isinstance(parameter, click.Option):
                for option in (one for one in parameter.opts if one.startswith("--")):
                    if not re.search(rf"(?<![\w-]){option}(?![\w-])", text):
                        lacking.append(f"cuvee {name} {option}")
    assert not lacking, f"on no page: {lacking}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-") for heading in headings}


def test_every_method_has_a_page_that_says_when() -> None:
    """One page for each of cuvee's own methods; each says when to use the method and when it fails."""
    own = {name: entry.load() for name, entry in registry.entries().items() if entry.point is None}
    assert [page.stem for page in METHODS] == sorted(own)
    silent = [name for name, kind in own.items() if not kind.card.use_when]
    assert not silent, f"their cards lack use_when: {silent}"
    for page in METHODS:
        assert "**When it fails:**" in page.read_text(encoding="utf-8"), f"{page.stem}: no fails_when, and no trap"


def test_examples_of_methods_are_planned(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command on every method's page is accepted: names, parameters, columns and files are what the verb takes."""
    folder = tmp_path / "work"
    shutil.copytree(data, folder)
    monkeypatch.chdir(folder)
    for name in ("labelled", "failed"):
        shutil.copy(folder / "evaluation.jsonl", folder / f"{name}.jsonl")
    for part in (folder / "pool").iterdir():
        table = pq.read_table(part)
        pq.write_table(table.append_column("pass_rate", pa.array(np.arange(len(table)) % 9 / 8)), part)
    assert run(["select", "pool/", "--with", "random", "--tokens", "20k", "-o", "kept/"], monkeypatch)[0] == 0
    for page in METHODS:
        found = [one for block in fenced(page) if block.language == "sh" for one in commands(block.content)]
        assert len(found) == 1, page.stem
        status, said = run([*found[0][0], "--plan"], monkeypatch)
        assert status == 0, f"{page.stem}: {said}"


@pytest.mark.parametrize("page", [*PAGES, *METHODS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    """Every link within the repository leads to a file, and its fragment to a heading."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert not broken, f"{page.name}: {broken}"


def written_fields(folder: Path, name: str) -> list[str]:
    return list(json.loads((folder / name).read_text()))


def inner_fields(summary: dict[str, Any]) -> list[str]:
    """The fields of the objects in a proof, where these have the same fields in every proof."""
    found = {"power": summary["power"], "reproduce": summary["reproduce"], "proxy": summary["proxy"]}
    lists = ("arms", "evaluations", "comparisons", "multiples", "costs", "selections")
    objects = [*found.values(), *(one for name in lists for one in summary[name])]
    return [name for one in objects for name in one]


def test_every_field_is_documented(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that selection.parquet and each command's JSON file hold stands in a table of its page."""
    import cuvee

    pool, target = data / "pool", data / "target.jsonl"
    looked = cuvee.profile(pool, output=tmp_path / "profile")
    kept = cuvee.select(pool, target=target, tokens=50_000, output=tmp_path / "kept")
    cuvee.write_selection(kept.folder, tmp_path / "documents")
    proved = cuvee.prove(
        kept.folder,
        evaluations={"all": data / "evaluation.jsonl"},
        proxy="ngram:table_bits=16,order=2",
        seeds=3,
        holdout=True,
        ledger=tmp_path / "ledger",
        output=tmp_path / "proof",
    )
    columns = pq.read_schema(kept.folder / "selection.parquet").names
    told = {
        "profile.md": written_fields(looked.folder, "profile.json"),
        "select.md": written_fields(kept.folder, "plan.json") + columns,
        "write.md": written_fields(tmp_path / "documents", "manifest.json"),
        "prove.md": written_fields(proved.folder, "proof.json") + inner_fields(proved.summary),
    }
    for page, fields in told.items():
        table = r"^\| (`.+) \|$" if page == "prove.md" else r"^\| (`[^|]+) \|"
        rows = re.findall(table, (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
        known = set(re.findall(r"`([^`]+)`", " ".join(rows)))
        assert set(fields) <= known, f"{page} lacks {sorted(set(fields) - known)}"
    counts = json.loads((kept.folder / "plan.json").read_text())["counts"]
    text = (ROOT / "docs" / "select.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in counts)
