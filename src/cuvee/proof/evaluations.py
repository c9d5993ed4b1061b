"""Evaluation sets: read whole, with a limit, and known by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import proof_wording
from ..core import Batch
from ..engine.draw import uniform
from ..engine.manifest import content_keys
from ..engine.progress import Progress
from ..engine.run import Engine
from ..engine.store import Store, digest
from ..errors import DataError, UsageError
from ..pool import Paths, Reading, open_stage
from ..report.terminal import plural
from . import overlap
from .draws import Rows
from .ledger import Ledger
from .proxy import Evaluation

if TYPE_CHECKING:
    from .candidates import Candidate

FEWEST = 5
"""An evaluation set of fewer documents tells nothing about others."""
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class EvaluationSet:
    """An evaluation set as it is used, and what was left out.

    Attributes:
        digest: of the texts (or embeddings and labels) and groups, whatever their order or file.
        origin: the whole set's digest, where this is a part of it; consultations are counted by it.
        content: uint64, (n,): content hash of each example, ascending.
        documents: examples in the files; ``rejected``: those that cannot be used, of which ``reasons`` names three.
    """

    evaluation: Evaluation
    digest: str
    origin: str
    content: Rows
    documents: int
    rejected: int
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.evaluation.name


def named_paths(given: Sequence[str] | Mapping[str, Paths]) -> dict[str, Paths]:
    """ "NAME=PATH" or "PATH" (then named after the file) as names and paths; UsageError for a name given twice."""
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, Paths] = {}
    for one in given:
        name, equals, path = str(one).partition("=")
        if not equals or "/" in name or (_exists(one) and not _exists(path)):
            name, path = Path(str(one)).name.split(".")[0] or str(one), str(one)
        if not name.strip():
            raise UsageError(f"The evaluation set '{one}' has no name. Write --eval NAME={path}.")
        if name in found:
            raise UsageError(f"Two evaluation sets are called '{name}'. Name them: --eval NAME={path}.")
        found[name] = path
    return found


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long for a name, say
        return False


def read(name: str, paths: Paths, reading: Reading, store: Store, limit: int, needs: Sequence[str]) -> EvaluationSet:
    """Read an evaluation set.

    Args:
        limit: bytes of text to use at most; a larger set is sampled, by content, the same way every time.
        needs: the columns that the proxy needs ("text", or "embedding" and "label").

    Raises:
        DataError: it cannot be read, is too small, or lacks a column.
    """
    opened = open_stage(paths, reading, store, f"evaluation set '{name}'")
    lacking = [need for need in needs if getattr(opened.spec, need) is None]
    if lacking:
        raise DataError(f"The evaluation set '{name}' has no column for {lacking[0]}. Name one with --{lacking[0]}.")
    if opened.stage.manifest.bytes > MOST_BYTES:
        raise DataError(f"The evaluation set '{name}' holds more than 1 GB. Some thousand documents will do.")
    engine = Engine(opened.stage, None, store, progress=Progress())
    engine.ensure_facts(opened.stage)
    batch, seen = _whole(engine, limit)
    reasons = [str(reject) for reject in engine.rejects(opened.stage)]
    content = content_keys(batch.data, batch.offsets, batch.columns)
    if len(batch) < FEWEST <= seen:
        raise DataError(
            f"Of the {plural(seen, 'usable example')} of the evaluation set '{name}' a sample of {limit:,} bytes of "
            f"text holds only {len(batch)}; at least {FEWEST} are needed. Leave out very long documents, or allow more "
            "with --eval-bytes."
        )
    if (distinct := len(np.unique(content))) < FEWEST:
        bad = f" ({len(reasons):,} more cannot be used: {reasons[0]})" if reasons else ""
        raise DataError(
            f"The evaluation set '{name}' has {distinct} different usable examples{bad}; at least {FEWEST} are needed, "
            "and some hundred make results sharper. Give more documents that no arm trains on."
        )
    groups, codes = _groups(batch)
    total = hashlib.blake2b(digest_size=20)
    order = np.argsort(content, kind="stable")
    total.update(content[order].tobytes())
    total.update("\0".join(groups[code] for code in codes[order].tolist()).encode())
    found = Evaluation(name, batch, codes, groups)
    known = digest("evaluation", total.hexdigest())
    return EvaluationSet(found, known, known, np.sort(content), seen, len(reasons), tuple(reasons[:3]))


def required(evaluations: Sequence[str] | Mapping[str, Paths] | str, why: str) -> dict[str, Paths]:
    """The evaluation sets' paths by name.

    Raises:
        UsageError: there is none; ``why`` follows in its sentence.
    """
    found = named_paths([evaluations] if isinstance(evaluations, str) else evaluations)
    if not found:
        raise UsageError(f"There is no evaluation set{why}.")
    return found


def found_in(
    engine: Engine,
    sets: Sequence[EvaluationSet],
    how: Literal["clean", "refuse", "ignore"],
    candidates: Sequence[Candidate] = (),
) -> tuple[overlap.Overlap, Rows, list[str]]:
    """Text of the evaluation sets in the pool: what was met, the rows to leave out, ascending, and what to say of it.

    Args:
        how: --overlap. ``candidates``: selections, whose rows with such text are counted.

    Raises:
        DataError: there is some, and ``how`` is to refuse it.
    """
    met = overlap.find(engine, [one.evaluation for one in sets], candidates)
    if met.rows and how == "refuse":
        raise DataError(proof_wording.refused(met))
    bad = met.contaminated if how == "clean" else np.empty(0, np.int64)
    return met, bad, proof_wording.overlaps(met, how, engine.rows)


def told(sets: Sequence[EvaluationSet], ledger: Ledger, tried: str, size: bool = False) -> list[dict[str, Any]]:
    """What a summary says of the sets. That ``tried``, a digest, was measured on them is written into the ledger.

    Args:
        size: whether the bytes of their texts are told.
    """
    return [
        {
            "name": one.name,
            "documents": len(one.evaluation.batch),
            **({"bytes": int(one.evaluation.batch.offsets[-1] - one.evaluation.batch.offsets[0])} if size else {}),
            "groups": list(one.evaluation.groups),
            "digest": one.digest,
            "consulted": ledger.consult(one.origin, one.name, tried),
        }
        for one in sets
    ]


def checked(sets: Sequence[EvaluationSet], reading: Reading) -> list[str]:
    """Sentences about copies within the sets, and about examples that cannot be used.

    Raises:
        DataError: some cannot be used, and ``reading`` does not allow to go on without.
    """
    found = []
    for one in sets:
        copies = len(one.content) - len(np.unique(one.content))
        if copies:
            found.append(
                f"{copies:,} of the {len(one.content):,} documents of the evaluation set '{one.name}' are copies "
                "of others, and count as if they were different ones: intervals may be too narrow."
            )
        if one.rejected and not reading.skip_bad:
            named = "; ".join(one.reasons) + (" ..." if one.rejected > len(one.reasons) else "")
            raise DataError(
                f"{plural(one.rejected, 'example')} of the evaluation set '{one.name}' cannot be used: {named}. "
                "Mend the file, or go on without with --skip-bad."
            )
        if one.rejected:
            found.append(
                f"{plural(one.rejected, 'example')} of the evaluation set '{one.name}' could not be used: "
                + "; ".join(one.reasons)
            )
    return found


def divide(one: EvaluationSet) -> tuple[EvaluationSet, EvaluationSet]:
    """A development part, which is looked at, and a guarded part, which only a reusable holdout may ask.

    By content, so that the same document is always on the same side, whatever set it is in.

    Raises:
        DataError: a part would have too few examples.
    """
    batch = one.evaluation.batch
    content = content_keys(batch.data, batch.offsets, batch.columns)
    guarded = uniform(0, "guarded part", content) < 0.5
    parts = []
    for mask, name in ((~guarded, one.name), (guarded, f"{one.name} (guarded)")):
        at = np.flatnonzero(mask)
        if len(at) < FEWEST:
            raise DataError(f"The evaluation set '{one.name}' is too small to guard a half of it. Give more documents.")
        evaluation = Evaluation(name, _taken(batch, at), one.evaluation.group[at], one.evaluation.groups)
        part = digest("part", one.digest, name != one.name)
        parts.append(replace(one, evaluation=evaluation, digest=part, content=np.sort(content[at])))
    return parts[0], parts[1]


def _taken(batch: Batch, at: Rows) -> Batch:
    """Some rows of a batch."""
    sizes = np.diff(batch.offsets)[at]
    data = np.frombuffer(b"".join(batch.text_bytes(i) for i in at.tolist()), np.uint8)
    columns = {
        name: values.take(pa.array(at)) if isinstance(values, pa.Array) else values[at]
        for name, values in batch.columns.items()
    }
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Batch(data, offsets, batch.row[at], batch.key[at], columns)


def _whole(engine: Engine, limit: int) -> tuple[Batch, int]:
    """All usable rows, or a keyed sample of about ``limit`` bytes of them; and how many rows there are."""
    manifest = engine.pool.manifest
    pieces = [piece.batch for span in manifest.spans for piece in manifest.read(span) if len(piece.batch)]
    total, rows = sum(int(one.offsets[-1] - one.offsets[0]) for one in pieces), sum(map(len, pieces))
    share = min(1.0, limit / max(total, 1))
    texts: list[bytes] = []
    row, key, columns = [], [], dict[str, list[Any]]()
    for one in pieces:
        content = content_keys(one.data, one.offsets, one.columns)
        kept = np.flatnonzero(uniform(0, "evaluation sample", content) < share)
        texts += [one.text_bytes(i) for i in kept.tolist()]
        row.append(one.row[kept])
        key.append(one.key[kept])
        for name, values in one.columns.items():
            taken = values.take(pa.array(kept)) if isinstance(values, pa.Array) else values[kept]
            columns.setdefault(name, []).append(taken)
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    joined = {
        name: pa.concat_arrays(parts) if isinstance(parts[0], pa.Array) else np.concatenate(parts)
        for name, parts in columns.items()
    }
    data = np.frombuffer(b"".join(texts), np.uint8)
    return Batch(data, offsets, np.concatenate(row), np.concatenate(key), joined), rows


def _groups(batch: Batch) -> tuple[tuple[str, ...], np.ndarray]:
    """Subgroups by domain: names in order, and each example's place among them."""
    values = batch.columns.get("domain")
    if values is None:
        return ("all",), np.zeros(len(batch), np.int32)
    names = pc.fill_null(values.cast(pa.large_string()), "(none)").to_numpy(zero_copy_only=False)
    found, codes = np.unique(names.astype(str), return_inverse=True)
    return tuple(found.tolist()), codes.astype(np.int32)
