"""What models still learned from rows chosen before: read from a file, and turned into weights of clusters.

Formula and source in ``methods/choose/kmq.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..core import Array
from ..errors import DataError
from ..feature.content import string_hash

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def read_feedback(path: str) -> tuple[Array, Floats, Ints]:
    """Keys ascending, gains, and rounds from 0, of the rows in a Parquet file; DataError if they are not there."""
    try:
        names = pq.read_schema(path).names
        what = "id" if "id" in names else "text"
        wanted = [what, "gain", *(["round"] if "round" in names else [])]
        if lacking := [name for name in wanted if name not in names]:
            raise DataError(f"{path} has no column {lacking[0]!r}: feedback needs id (or text) and gain.")
        table = pq.read_table(path, columns=wanted)
        key = string_hash(table.column(what).cast(pa.large_string()).combine_chunks())
        gain = table.column("gain").cast(pa.float64()).to_numpy()
        rounds = table.column("round").cast(pa.int64()).to_numpy() if "round" in names else np.zeros(len(key), np.int64)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"kmq cannot read the feedback {path}: {error}") from error
    if not len(key) or not np.isfinite(gain).all() or len(np.unique(key)) < len(key):
        raise DataError(f"{path} must name one or more rows, each once, with a finite gain.")
    order = np.argsort(key, kind="stable")
    return key[order], gain[order], np.unique(rounds[order], return_inverse=True)[1]


def check_found(path: str, count: Array, left: Array) -> None:
    """DataError unless rows with feedback are in the pool (``count``) and others are ``left`` to be taken."""
    if not count.any() or not left.any():
        what = "every row that could be taken" if count.any() else "no row of the pool that has a cluster"
        raise DataError(f"{path} names {what}: kmq needs rows of earlier rounds, and does not take them again.")


def refined(weight: Floats, total: Floats, count: Floats, temperature: float) -> Floats:
    """The logarithms of the weights after all rounds: large gains would underflow as plain numbers.

    ``total`` and ``count`` (rounds, clusters) are of the gains; the sum of weights is kept where rows were scored.
    """
    with np.errstate(divide="ignore"):
        found = np.log(weight)
    for gain, rows in zip(total, count, strict=True):
        scored = (rows > 0) & (found > -np.inf)
        if scored.any():
            before, mean = _log_sum(found[scored]), gain[scored] / rows[scored]
            found[scored] += (mean - mean.max()) / temperature
            found[scored] += before - _log_sum(found[scored])
    return found


def _log_sum(values: Floats) -> float:
    """The logarithm of the sum of exponentials."""
    return float(values.max() + np.log(np.exp(values - values.max()).sum()))
