"""``cuvee guard``: which rows of a pool say the same, exactly or nearly, and a selection without the repetition."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import guard_wording as wording
from .checks import check_ids, check_rows, pool_files, write_rejects
from .clusters import ClusterReasons, Kept, Members, sizes_of, texts_of, write_clusters
from .core import Batch, Block, Map
from .edits import Alike, check_edit, checked
from .engine import files
from .engine.columns import DiskColumns
from .engine.executor import Executor
from .engine.group import Clusters, EqualKeys, group
from .engine.local import Local
from .engine.one_thread import one_thread
from .engine.plan import describe, make, parameters
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .engine.work import SpanKeys
from .errors import UsageError
from .examples import as_batch
from .feature.minhash import PRESETS, MinHash, check_threshold, covering_bands, covering_rows, detection, jaccard
from .feature.normal import STEPS, NormalHash
from .layout import (
    CLUSTERS,
    DEDUPLICATED,
    PLAN,
    PLAN_FORMAT,
    REJECTS,
    REPORT,
    SELECTION,
    Result,
    publish,
    refuse_foreign,
    versions,
)
from .planning import planned
from .planted import measured_curve
from .pool import Opened, Paths, Reading, open_stage
from .profile_contents import cards, sampled_texts
from .quantities import shell_path
from .request import check_arguments
from .selection_file import SelectionWriter
from .splits import across
from .summary import Arm

SHOWN_CLUSTERS, SHOWN_PAIRS, MEASURED_PAIRS = 20, 10, 24
MEASURED_BYTES = 1 << 20
"""Of the texts whose exact similarity is told, no more than their beginnings of this size are held."""
LOOK_SEED = 0
"""Which pairs are looked at and planted: the same for every ``seed``, which decides about rows."""
FEWEST_PERMUTATIONS = 64
"""For a threshold: with fewer, an estimate at 0.8 is off by more than 0.05 in one case of three."""
LONG_BYTES, SPARSE_BYTES = 200, 40
"""A text of at least the first size with fewer n-grams than one in so many bytes is written without blanks."""
KEEP = ("first", "longest", "random")
CITATIONS = [
    """@inproceedings{broder1997resemblance,
  title={On the resemblance and containment of documents},
  author={Broder, Andrei Z.},
  booktitle={Compression and Complexity of Sequences},
  year={1997}
}""",
    """@inproceedings{lee2022deduplicating,
  title={Deduplicating Training Data Makes Language Models Better},
  author={Lee, Katherine and Ippolito, Daphne and Nystrom, Andrew and Zhang, Chiyuan and Eck, Douglas and
          Callison-Burch, Chris and Carlini, Nicholas},
  booktitle={ACL},
  year={2022}
}""",
]


class Guarded(Result):
    """A pool looked through: the folder with its selection, and what is known about it (``plan.json``)."""


@dataclass(frozen=True)
class Rule:
    """What counts as a duplicate and what becomes of it.

    Attributes:
        preset: the name under which ``minhash`` was asked for; both None when only exact duplicates are looked for.
        threshold: candidates of a lower estimated Jaccard similarity are no duplicates; 0 takes every candidate.
        edit: nor are those of a lower edit similarity; 0 does not look. Where it looks, Jaccard is exact, too.
        step: how texts are normalised before exact comparison; see ``feature/normal.py``.
        by_domain: rows of different domains are never duplicates of each other.
        keep: which rows of a cluster are kept: the first of the pool, the longest, or some drawn by ``seed`` and key.
        copies: how many of a cluster are kept.
        record: keep every row, and only record what was found.
    """

    preset: str | None
    minhash: MinHash | None
    threshold: float
    step: str
    by_domain: bool = False
    keep: str = "first"
    copies: int = 1
    record: bool = False
    seed: int = 0
    edit: float = 0.0

    @property
    def estimate(self) -> float:
        """The least similarity by estimate: below the threshold by three standard errors where texts decide."""
        if not self.edit or self.minhash is None or not self.threshold:
            return self.threshold
        t = self.threshold
        return max(0.0, t - 3 * math.sqrt(t * (1 - t) / (8 * len(self.minhash.checks))))


@dataclass(frozen=True)
class Together(Map):
    """Several Maps in one pass over the text."""

    maps: tuple[Map, ...]

    def apply(self, batch: Batch) -> Block:
        found: Block = {}
        for one in self.maps:
            found |= one.apply(batch)
        return found


def make_rule(
    *,
    duplicates: str = "near",
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    edit: float | None = None,
    normal: str = "space",
    scope: str = "global",
    keep: str = "first",
    copies: int = 1,
    record: bool = False,
    seed: int = 0,
) -> Rule:
    """Check what was asked for before any file is opened; see :func:`guard` for the arguments."""
    for name, value, known in (
        ("duplicates", duplicates, ("near", "exact")),
        ("normal", normal, tuple(STEPS)),
        ("scope", scope, ("global", "domain")),
        ("keep", keep, KEEP),
    ):
        if value not in known:
            raise UsageError(f"--{name} is one of {', '.join(known)}, not '{value}'.")
    if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
        raise UsageError(f"--copies must be a whole number of at least 1, not {copies}.")
    if record and (copies != 1 or keep != "first"):
        raise UsageError("--record keeps every row, so --copies and --keep decide nothing: leave them out.")
    common = (normal, scope == "domain", keep, copies, record, seed)
    if duplicates == "exact":
        if preset is not None or settings or threshold is not None or edit is not None:
            raise UsageError(
                "--preset, --threshold and --edit are about near-duplicates: leave them out, or --duplicates exact."
            )
        return Rule(None, None, 0.0, *common)
    name = preset or "cuvee"
    if name not in PRESETS:
        raise UsageError(f"There is no preset '{name}'. The presets are {', '.join(PRESETS)}.")
    if threshold == 1:
        raise UsageError(
            "A threshold of 1 asks for equal texts: look for them with --duplicates exact, or give a similarity below "
            "1, like 0.95."
        )
    if threshold is not None and threshold != 0:
        check_threshold(threshold)
    if edit:
        check_edit(edit)
    chosen = PRESETS[name]
    least = threshold if threshold is not None else chosen.threshold or 0.0
    found = _minhash(name, dict(settings or {}), least)
    if least > 0 and found.permutations < FEWEST_PERMUTATIONS:
        raise UsageError(
            f"A threshold is an estimate from the permutations, and {found.permutations} are too few for one: ask for "
            f"at least {FEWEST_PERMUTATIONS}, or go without a threshold (--threshold 0)."
        )
    return Rule(name, found, float(least), *common, float(chosen.edit if edit is None else edit))


def _minhash(name: str, settings: dict[str, Any], threshold: float) -> MinHash:
    """A preset's parameters with some of them changed; what follows from these is chosen anew."""
    given = {**parameters(PRESETS[name].minhash)}
    if unknown := sorted(settings.keys() - given.keys()):
        raise UsageError(f"Preset {name} has no parameter '{unknown[0]}'. Its parameters: {', '.join(given)}.")
    fixed = {"bands", "rows"} & settings.keys()
    asked: MinHash = make(MinHash, {**given, "permutations": 1 << 14, "bands": 1, "rows": 1, **settings}, name)
    if "permutations" in settings:
        permutations = asked.permutations
    else:
        least = asked.bands * asked.rows
        if len(fixed) == 1 and not threshold:  # the preset's own number stands for the other
            least *= given["rows" if "bands" in fixed else "bands"]
        permutations = given["permutations"] if not fixed or least <= given["permutations"] else least
    found: dict[str, Any] = {"permutations": permutations}
    if not fixed and name == "cuvee" and threshold:
        found["bands"], found["rows"] = covering_bands(threshold, permutations)
    elif fixed == {"rows"} and threshold:
        found["bands"] = max(permutations // asked.rows, 1)
    elif fixed == {"bands"} and threshold:
        found["rows"] = covering_rows(threshold, asked.bands, permutations)
    return make(MinHash, {**given, **settings, **found}, name)


@one_thread()
def guard(
    pool: Paths,
    *,
    duplicates: str = "near",
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    edit: float | None = None,
    normal: str = "space",
    scope: str = "global",
    keep: str = "first",
    copies: int = 1,
    record: bool = False,
    seed: int = 0,
    output: str | os.PathLike[str] = "out/guard",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    show_text: bool = True,
    command: str | None = None,
) -> Guarded:
    """Find the rows of ``pool`` that repeat others; write a selection without them, the clusters and a report.

    Args:
        pool: files, folders, globs or URIs.
        duplicates: "near" (exact ones and those that share most of their n-grams) or "exact".
        preset, settings: how MinHash is set: "cuvee" (default), "fineweb", "refinedweb", "lee", "slimpajama",
            "data-juicer" or "nemo-curator", and parameters that differ from it (n, unit, bands, rows, permutations,
            digits, signs, seed).
        threshold: the least estimated Jaccard similarity; 0 takes every candidate. By default the preset's.
        edit: the least edit similarity, 0.5 to below 1; 0 does not look. By default the preset's: 0.8 for "lee" alone.
        normal: what exact comparison makes equal before: "bytes", "space", "punctuation" or "digits".
        scope: "global", or "domain": only rows of the same domain are compared.
        keep, copies: which rows of a cluster are kept ("first", "longest" or "random") and how many.
        record: remove nothing.
        seed: decides what "random" keeps, and nothing else.
        workers: threads; 0 takes every core. The result does not depend on it.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, seed=seed)
    asked: dict[str, Any] = {
        "duplicates": duplicates,
        "preset": preset,
        "settings": dict(settings or {}),
        "threshold": threshold,
        "edit": edit,
        "normal": normal,
        "scope": scope,
        "keep": keep,
        "copies": copies,
        "record": record,
        "seed": int(seed),
    }
    rule = make_rule(**asked)
    reading = reading or Reading()
    folder = Path(output)
    store = Store(Path(cache) if cache is not None else None)
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, PLAN, DEDUPLICATED)
        opened = open_stage(pool, reading, store)
        check_columns(opened, rule)
        engine = Engine(opened.stage, None, store, executor or Local(int(workers)), progress or Progress(), rule.seed)
        job = _Job(engine, opened, rule, reading, started, show_text)
        found = job.look()
        with files.whole_folder(folder) as place:
            summary = job.describe(found, place, folder)
            summary["reproduce"]["command"] = command or _python_call(pool, output, asked)
            summary["reproduce"]["timings"]["total"] = round(time.monotonic() - started, 3)
            from .report.guard import render

            summary = publish(place, PLAN, summary, partial(render, no_text=not show_text))
    return Guarded(folder, summary)


def lines(guarded: Guarded) -> list[str]:
    """What the command line prints."""
    return wording.guard_lines(guarded.folder, guarded.summary)


def plan(
    pool: Paths, *, output: str, reading: Reading, workers: int = 0, cache: str | None = None, **asked: Any
) -> dict[str, Any]:
    """What ``guard`` with the same arguments would read and write, and about what it would cost."""
    rule = make_rule(**asked)
    refuse_foreign(Path(output), PLAN, DEDUPLICATED)
    found = {**planned(pool, reading, cache, workers, 1), **wording.told(rule)}
    return {**found, "writes": [str(Path(output) / name) for name in (SELECTION, CLUSTERS, PLAN, REPORT)]}


def check_columns(opened: Opened, rule: Rule) -> None:
    """Refuse what a pool with these columns cannot be asked for."""
    if opened.spec.text is None:
        raise UsageError("The pool has no texts to compare: name their column with --text.")
    if rule.by_domain and opened.spec.domain is None:
        raise UsageError("--scope domain needs a domain column: name one with --domain, or leave --scope out.")


def _python_call(pool: Paths, output: Any, asked: dict[str, Any]) -> str:
    paths = str(pool) if isinstance(pool, str | os.PathLike) else [str(path) for path in pool]
    default = {"duplicates": "near", "normal": "space", "scope": "global", "keep": "first", "copies": 1, "seed": 0}
    given = {name: value for name, value in asked.items() if value not in (None, {}, False, default.get(name))}
    said = ", ".join([repr(paths), *(f"{name}={value!r}" for name, value in given.items()), f"output={str(output)!r}"])
    return f"cuvee.guard({said})"


@dataclass
class _Found:
    """What the passes over the pool gave."""

    columns: DiskColumns
    members: Members
    kept: Kept
    exact_rows: int
    unbroken: int
    timings: dict[str, float]


@dataclass
class _Job:
    """One look through a pool, from opened files to a finished folder."""

    engine: Engine
    opened: Opened
    rule: Rule
    reading: Reading
    started: float
    show_text: bool

    def look(self) -> _Found:
        """Hash every text, find equal keys, decide what is kept."""
        rule, engine = self.rule, self.engine
        maps: list[Map] = [NormalHash(rule.step)]  # type: ignore[arg-type]
        if rule.minhash is not None:
            maps.append(rule.minhash)
        keys = engine.apply(Together(tuple(maps)), "hashing the texts")
        timings = {"reading and hashing": time.monotonic() - self.started}
        columns = engine.columns(domain_by_convention=self.opened.domain_by_convention)
        check_rows(engine, engine.pool, columns.n_rows, self.reading, columns.rejected)
        check_ids(engine, columns)
        begun = time.monotonic()
        exact, both = Clusters(), Clusters()
        self._group(keys, columns, ["exact"], [exact, both])
        unbroken = 0
        if rule.minhash is not None:
            self._near(keys, columns, rule.minhash, both)
            unbroken = self._unbroken(keys) if rule.minhash.unit != "char" else 0
        members = Members.of(columns, *both.members(), exact)
        kept = members.choose(rule.keep, columns.n_rows if rule.record else rule.copies, rule.seed)
        timings["comparing"] = time.monotonic() - begun
        row, root = exact.members()
        return _Found(columns, members, kept, int(np.count_nonzero(row != root)), unbroken, timings)

    def _near(self, keys: SpanKeys, columns: DiskColumns, minhash: MinHash, into: Clusters) -> None:
        """Near-duplicates, with another look at the candidates' texts if the rule asks for it."""
        rule = self.rule
        candidates = Clusters() if rule.edit else into
        self._group(keys, columns, minhash.names, [candidates], minhash)
        if rule.edit:
            name = digest("guard", self.engine.pool.plan, keys.plan, rule.by_domain, rule.estimate)
            alike = Alike(minhash, rule.threshold, rule.edit)
            for pairs in checked(self.engine, alike, candidates, partial(sizes_of, columns), name):
                into.add(*pairs)

    def _unbroken(self, keys: SpanKeys) -> int:
        """How many long texts have so few n-grams that near-duplicates of them go unseen."""
        store, found = self.engine.store, 0
        for facts, key in zip(SpanKeys(self.engine.pool), keys, strict=True):
            size, grams = store.mapped(facts, "bytes")[0]["bytes"], store.mapped(key, "shingles")[0]["shingles"]
            found += int(np.count_nonzero((size >= LONG_BYTES) & (grams * SPARSE_BYTES < size)))
        return found

    def _group(
        self,
        keys: SpanKeys,
        columns: DiskColumns,
        names: list[str],
        into: list[Clusters],
        minhash: MinHash | None = None,
    ) -> None:
        rule, engine = self.rule, self.engine
        apart = rule.by_domain and len(columns.domains) > 1
        checks: tuple[str, ...] = ()
        least = 0
        if minhash is None:  # 64 bits are too few for a billion texts: all 8 bytes of a second hash must agree, too
            checks, least = ("exact_second",), 8
        elif rule.estimate > 0:
            checks, share = tuple(minhash.checks), 1 / 256 + (1 - 1 / 256) * rule.estimate
            least = int(np.ceil(8 * len(checks) * share - 1e-9))
        name = digest("guard", engine.pool.plan, keys.plan, apart, checks, least)
        counted = "shingles" if minhash is not None else ""
        work = EqualKeys(engine.store, SpanKeys(engine.pool), keys, counted, apart, checks, least, name)
        label = "near-duplicates" if minhash is not None else "exact duplicates"
        for _, pairs in group(work, names, columns.n_rows, engine.executor, engine.progress, label):
            for clusters in into:
                clusters.add(*pairs)

    def describe(self, found: _Found, place: Path, folder: Path) -> dict[str, Any]:
        """Write selection and clusters into ``place`` and return all that is to be said."""
        engine, columns, rule = self.engine, found.columns, self.rule
        arms = {name: Arm(len(columns.domains)) for name in ("pool", "kept")}
        reasons = ClusterReasons(rule.keep, rule.record)
        with SelectionWriter(place / SELECTION, engine, list(columns.domains), reasons, "guard") as writer:
            for number, block in enumerate(columns.blocks()):
                repeats = found.kept.repeats(block)
                arms["pool"].add(block, np.ones_like(repeats))
                arms["kept"].add(block, repeats)
                writer.add(number, {**block, "score": found.members.copies(block["row"])}, repeats)
        write_clusters(place / CLUSTERS, engine, columns, found.members, found.kept)
        summary = self._numbers(found, arms)
        summary["rejects"] = write_rejects(engine, columns.rejected, place / REJECTS, folder / REJECTS)
        summary["curve"] = self._curve(columns)
        summary |= self._texts(found)
        summary["spec"] = asdict(self.opened.spec)
        summary |= {"tokenizer": self.reading.tokenizer, "key": self.reading.key, "seed": rule.seed}
        summary["files"] = pool_files(engine.pool)
        summary["plan"] = {"rule": describe(rule)}
        summary["warnings"] = wording.warnings(summary, [*self.opened.notes, *columns.notes])
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(summary, self.reading, self.opened)
        summary["next"] = f"cuvee write {shell_path(folder)} --format parquet"
        summary["selection_digest"] = files.file_digest(place / SELECTION)
        manifest = engine.pool.manifest
        summary["reproduce"] = {
            "digest": writer.digest(),
            "seed": rule.seed,
            "versions": versions(),
            "citations": CITATIONS if rule.minhash is not None else [],
            "timings": {name: round(value, 3) for name, value in found.timings.items()}
            | {"found in the cache": round(engine.recalled_seconds, 3)},
            "passes": engine.passes,
            "files": [[source.path, manifest.rows_of(at)] for at, source in enumerate(manifest.sources[:100])],
        }
        return summary

    def _numbers(self, found: _Found, arms: dict[str, Arm]) -> dict[str, Any]:
        columns, members, rule = found.columns, found.members, self.rule
        pool, kept = arms["pool"], arms["kept"]
        sizes, number = np.unique(members.sizes(), return_counts=True)
        repeats = int((sizes - 1) @ number)
        said = parameters(rule.minhash) if rule.minhash is not None else {}
        if said:
            said["permutations_seed"] = said.pop("seed")
        return {
            "format": PLAN_FORMAT,
            "title": f"{'Near and exact' if rule.minhash else 'Exact'} duplicates",
            "counts": {
                "rows": columns.n_rows + columns.rejected,
                "usable": columns.n_rows,
                "rejected": columns.rejected,
                "kept": kept.rows,
                "kept_copies": kept.copies,
                "kept_tokens": kept.tokens,
                "kept_bytes": kept.bytes,
                "pool_tokens": pool.tokens,
                "pool_bytes": pool.bytes,
                "removed": columns.n_rows - kept.rows,
                "clusters": int(number.sum()),
                "in_clusters": len(members.row),
                "exact": found.exact_rows,
                "unbroken": found.unbroken,
                "near": repeats - found.exact_rows,
            },
            "method": {
                "name": "guard",
                "parameters": {**said, **{k: v for k, v in asdict(rule).items() if k != "minhash"}},
                **wording.told(rule),
            },
            "across": across(members, columns.domains, self.engine.pool.manifest),
            "sizes": [[int(size), int(count)] for size, count in zip(sizes, number, strict=True)],
            "domains": [
                {
                    "name": name,
                    "pool_rows": int(pool.domain_rows[at]),
                    "kept_rows": int(kept.domain_rows[at]),
                    "pool_tokens": int(pool.domain_tokens[at]),
                    "kept_tokens": int(kept.domain_tokens[at]),
                }
                for at, name in enumerate(columns.domains)
            ],
        }

    def _curve(self, columns: DiskColumns) -> dict[str, Any] | None:
        """The curve by the formula, and as measured with planted pairs of this pool's texts."""
        minhash = self.rule.minhash
        if minhash is None:
            return None
        grid = np.round(np.arange(0, 101) / 100, 2)
        texts = [text for _, text in sampled_texts(self.engine, columns)]
        alike = Alike(minhash, self.rule.threshold, self.rule.edit) if self.rule.edit else None
        return {
            "similarity": grid.tolist(),
            "candidates": detection(grid, minhash.bands, minhash.rows).tolist(),
            "threshold": self.rule.threshold or None,
            "planted": measured_curve(minhash, self.rule.estimate or None, texts, LOOK_SEED, alike),
        }

    def _texts(self, found: _Found) -> dict[str, Any]:
        """The largest clusters, and some removed rows beside what was kept for them, with their exact similarity."""
        members, engine, minhash = found.members, self.engine, self.rule.minhash
        largest = members.largest(SHOWN_CLUSTERS)
        pairs = members.near_pairs(found.kept, MEASURED_PAIRS, LOOK_SEED) if minhash is not None else []
        rows = sorted({row for _, row in largest} | {row for pair in pairs for row in pair})
        texts = texts_of(engine, rows, MEASURED_BYTES)
        known = cards(engine, found.columns, set(rows))

        def shown(row: int, **more: Any) -> dict[str, Any]:
            text = texts[row][:8_000].decode("utf-8", "ignore")[:2_000] if self.show_text else ""
            return {**known[row], "row": known[row]["row"] + 1, "score": None, "text": text, **more}

        similar: list[float] = []
        if minhash is not None and pairs:
            for left, right in pairs:
                a, b = minhash.shingles(as_batch([texts[left], texts[right]]))
                similar.append(round(jaccard(a, b), 4))
        told = [f"Jaccard similarity {value:.2f}" for value in similar]
        return {
            "largest": [shown(row, count=count, reason="") for count, row in largest],
            "pairs": [
                {"kept": shown(left, reason=words), "removed": shown(right, reason=words)}
                for (left, right), words in zip(pairs[:SHOWN_PAIRS], told, strict=False)
            ],
            "similarities": sorted(similar),
        }
