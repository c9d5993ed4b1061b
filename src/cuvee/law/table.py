"""Reading finished runs: a CSV, JSON or Parquet file that anybody made, or cuvee's own ledger of trials.

One row a run. Columns by their names:

    mix.NAME or weight.NAME    share of training tokens from a source; they sum to one in every row
    loss.NAME or metric.NAME   what came out, less being better unless the law says other
    run                        rows of one run are its checkpoints: they are left out and drawn together
    name, arm                  rows of one name whose shares differ by rounding alone are one mixture
    seed, id                   ignored; but runs of one name whose seeds differ may be farther apart
    any other number           a setting that a law may ask for: parameters, tokens, share, samples, ...

The dot may be an underscore, a slash or a colon. Runs alike in mixture, in the settings that the law looks at, and in
size and progress differ in the seed alone; other columns (seconds, losses that are not asked for) tell none apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Law, Runs, Settings
from ..errors import DataError, UsageError
from .columns import check_table
from .opened import open_table

Floats = npt.NDArray[np.float64]
_MIXTURE = re.compile(r"(?:mix|weight)[._/:](.*)", re.DOTALL)
_OUTCOME = re.compile(r"(?:loss|metric)[._/:](.+)")
_IGNORED = frozenset({"seed", "run", "id", "name", "arm"})
PROGRESS = frozenset({"tokens", "samples", "compute", "steps", "step"})
"""How far a run had come: what differs between checkpoints of one run."""
JOINED = ("rows of one run are its checkpoints", "all rows are checkpoints of one run")
"""How notes begin about rows that belong together."""
SIZES = PROGRESS | {"parameters"}
"""By these runs differ, whether a law looks at them or not."""
TOLERANCE = 2e-3
"""How far weights may be from summing to one: tables are often rounded to three digits."""
SAME = 5e-3
"""How far shares of runs of one name may be apart: whole documents do not make up any share exactly."""
SEEDS = 3e-2
"""The same where every run of the name has a seed of its own: short runs have few documents to make up a share of."""


@dataclass(frozen=True)
class Table:
    """Finished runs with several outcomes.

    Attributes:
        settings: see :class:`cuvee.core.Settings`; sources sorted by name.
        outcomes: float64, (n,), by name.
        group: int64, (n,): equal for runs that differ in the seed alone.
        cluster: int64, (n,): equal for groups that hold checkpoints of the same runs; None without any.
        run: int64, (n,): equal for checkpoints of one run; None without any.
        notes: sentences about rows and columns that were passed over.
        row, file: int64, (n,): the number of each run in its file, from 1; and how that is called in messages.
    """

    settings: Settings
    outcomes: Mapping[str, Floats]
    group: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    cluster: npt.NDArray[np.int64] | None = None
    row: npt.NDArray[np.int64] | None = None
    file: str = "the table"
    run: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.group)

    def numbers(self) -> npt.NDArray[np.int64]:
        """The number of each run in its file, from 1: int64, (n,)."""
        return self.row if self.row is not None else np.arange(1, len(self) + 1)

    def called(self, most: int = 3) -> list[str]:
        """What each setting is called, in the order of ``group``: by the first of its rows, like "rows 5, 7"."""
        order = np.argsort(self.group, kind="stable")
        parts = np.split(self.numbers()[order], np.flatnonzero(np.diff(self.group[order])) + 1)
        return [
            f"row{'s' if len(part) > 1 else ''} {', '.join(map(str, part[:most]))}{' ...' if len(part) > most else ''}"
            for part in parts
        ]

    def check(self, law: Law, name: str) -> None:
        """Refuse runs with settings that a law, called ``name``, cannot look at.

        Raises:
            DataError: with row and column; see :mod:`cuvee.law.columns`.
        """
        check_table(self.settings, law.card.needs, self.numbers(), self.file, name, untrained=law.checkpoints)

    def apart(self) -> Table:
        """The same with every row by itself, whatever run it is of."""
        return replace(self, cluster=None, notes=tuple(one for one in self.notes if not one.startswith(JOINED)))

    def ends(self) -> Table:
        """The last checkpoint of every run, for laws that do not look at how far a run had come."""
        came = [column for name, column in self.settings.values.items() if name in PROGRESS]
        if self.cluster is None or self.run is None or not came:
            return self
        order = np.lexsort(came)
        last = np.empty(int(self.run.max()) + 1, np.int64)
        last[self.run[order]] = order  # of several for one run the last stays
        furthest = np.all([column == column[last[self.run]] for column in came], axis=0)
        rows = np.flatnonzero(furthest)
        values = {name: column[rows] for name, column in self.settings.values.items()}
        said = f"rows of one run are its checkpoints: each run's last is looked at, {len(rows):,} of {len(self):,} rows"
        return Table(
            Settings(self.settings.sources, self.settings.mixture[rows], values),
            {name: column[rows] for name, column in self.outcomes.items()},
            self.group[rows],
            (*self.apart().notes, said),
            row=None if self.row is None else self.row[rows],
            file=self.file,
        )

    def runs(self, outcome: str, needs: Sequence[str]) -> Runs:
        """The runs as a law with these needs sees them: nothing of the settings that it does not name."""
        keep = self.settings if "mixture" in needs else Settings((), np.empty((len(self), 0)), self.settings.values)
        values = {name: column for name, column in keep.values.items() if name in needs}
        return Runs(Settings(keep.sources, keep.mixture, values), self.outcomes[outcome], self.group, self.cluster)


def read_runs(
    path: str | Path,
    sources: Sequence[str] | None = None,
    losses: Sequence[str] | None = None,
    arms: str | Path | None = None,
    skip_bad: bool = False,
    inputs: Sequence[str] | None = None,
) -> Table:
    """Read a table of runs, or a ledger's folder together with a table of what its arms are.

    Args:
        sources: columns that hold shares [those called mix.NAME or weight.NAME].
        losses: columns that hold outcomes [those called loss.NAME or metric.NAME].
        arms: for a ledger: a table with a column ``arm`` and each arm's shares and settings.
        skip_bad: pass over runs without a finite outcome, and say how many.
        inputs: columns that the law looks at: settings, whatever their names look like, unless ``losses`` names them.
            Runs alike in these, in mixture and in ``SIZES`` are one setting; None: alike in all columns of numbers.

    Raises:
        UsageError, DataError: with the row and column that cannot be used.
    """
    place = Path(path)
    if place.is_dir():
        return _from_ledger(place, arms, losses, skip_bad, inputs)
    if arms is not None:
        raise UsageError("--arms belongs to a ledger's folder: a table of runs holds its mixtures itself.")
    return from_arrow(open_table(place), str(place), sources, losses, skip_bad, inputs)


def from_arrow(
    table: pa.Table,
    name: str,
    sources: Sequence[str] | None,
    losses: Sequence[str] | None,
    skip_bad: bool = False,
    inputs: Sequence[str] | None = None,
) -> Table:
    """Runs from an Arrow table; ``name`` stands in messages. See :func:`read_runs`."""
    twice = sorted({one for one in table.column_names if table.column_names.count(one) > 1})
    if twice:
        raise DataError(f"{name} has two columns called '{twice[0]}'. Give every column its own name.")
    if not table.num_rows:
        raise DataError(f"{name} holds no run. Give one row for every finished run.")
    shares = _named(table, sources, _MIXTURE, name, "--sources", inputs or ())
    outcomes = _named(table, losses, _OUTCOME, name, "--loss", inputs or ())
    if not outcomes:
        raise DataError(
            f"{name} has no column of outcomes. Call them loss.NAME, or name them with --loss; "
            f"its columns are: {', '.join(table.column_names[:12])}."
        )
    others = [
        one
        for one in table.column_names
        if one not in {*shares.values(), *outcomes.values(), *_IGNORED}
        and (one in (inputs or ()) or not (_MIXTURE.fullmatch(one) or _OUTCOME.fullmatch(one)))
        and (_numeric(table.column(one).type) or (one in SIZES and _some_numbers(table.column(one))))
    ]
    bad = np.zeros(table.num_rows, bool)
    found = {label: _numbers(table, column, name) for label, column in outcomes.items()}
    for label in outcomes:
        bad |= ~np.isfinite(found[label])
    if bad.any() and not skip_bad:
        raise DataError(
            f"{_rows(np.flatnonzero(bad))} of {name}: "
            f"{_listed([c for one, c in outcomes.items() if not np.isfinite(found[one]).all()], 'or')} "
            "is not a finite number. Leave diverged runs out with --skip-bad; they are then counted."
        )
    mixture = _mixture(table, shares, name)
    values = {one: _numbers(table, one, name) for one in others}
    notes = [f"{bad.sum():,} of {len(bad):,} runs have no finite outcome and were left out"] if bad.any() else []
    if bad.all():
        raise DataError(f"No run of {name} has finite outcomes, so there is nothing to learn from.")
    keep = ~bad
    for one in sorted(SIZES & values.keys()):
        gaps = keep & ~np.isfinite(values[one])
        if gaps.any() and np.isfinite(values[one][keep]).any():
            raise DataError(
                f"{_rows(np.flatnonzero(gaps))} of {name}: '{one}', by which sizes and checkpoints are told apart, is "
                "not a finite number. Fill it in, or leave the column out."
            )
    values = {one: column[keep] for one, column in values.items() if np.isfinite(column[keep]).all()}
    notes += [
        f"{one} holds {table.column(one).type}, no numbers, and is not looked at: runs of all sizes count alike"
        for one in sorted(SIZES.intersection(table.column_names))
        if one not in values and one not in outcomes.values() and not pa.types.is_null(table.column(one).type)
    ]
    told = {one: column for one, column in values.items() if inputs is None or one in {*inputs, *SIZES}}
    mixture = _of_one_name(mixture[keep], told, _names(table, keep), _seeds(table, keep))
    settings = Settings(tuple(shares), mixture, values)
    group = groups_of(Settings(settings.sources, mixture, told))
    unseen = [one for one, column in values.items() if one not in told and column.min() < column.max()]
    if unseen:
        notes.append(
            f"{_listed(unseen[:6], 'and')} {'is' if len(unseen) == 1 else 'are'} not looked at: runs alike in all else "
            "count as one setting with several seeds"
        )
    cluster = run = None
    if "run" in table.column_names:
        run = _run(settings, group, np.array(table.column("run").to_pylist(), object).astype(str)[keep])
        cluster = _clusters(group, run)
    if cluster is not None and len(np.unique(cluster)) == 1:
        cluster = None
        notes.append(f"{JOINED[1]}, or of runs alike: errors and intervals are far too small")
    elif cluster is not None:
        runs, sets = len(np.unique(group)), len(np.unique(cluster))
        notes.append(f"{JOINED[0]}: {runs:,} settings are {sets:,} that share no run")
    outcome = {label: column[keep] for label, column in found.items()}
    return Table(settings, outcome, group, tuple(notes), cluster, np.flatnonzero(keep) + 1, name, run)


def _names(table: pa.Table, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64] | None:
    """Equal numbers for runs of one name, or else of one arm: int64, (kept,); None where no column names them."""
    for column in ("name", "arm"):
        if column in table.column_names:
            told = np.array(table.column(column).to_pylist(), object).astype(str)[keep]
            return np.unique(told, return_inverse=True)[1].ravel().astype(np.int64)
    return None


def _seeds(table: pa.Table, keep: npt.NDArray[np.bool_]) -> npt.NDArray[Any] | None:
    """What the column ``seed`` says, as text, (kept,); None without one."""
    if "seed" not in table.column_names:
        return None
    return np.array(table.column("seed").to_pylist(), object).astype(str)[keep]


def _of_one_name(
    mixture: Floats,
    values: Mapping[str, Floats],
    name: npt.NDArray[np.int64] | None,
    seed: npt.NDArray[Any] | None,
) -> Floats:
    """Mixtures, (n, k), where those of one name and alike settings that are close become their mean.

    Close is within ``SAME``, or within ``SEEDS`` where their seeds are all different.
    """
    if name is None or not mixture.shape[1]:
        return mixture
    keys = np.column_stack([name, *values.values()])
    found = mixture.copy()
    of = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(of, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(of[order])) + 1):
        apart = seed is not None and len(np.unique(seed[rows])) == len(rows)
        if 0 < np.ptp(mixture[rows], axis=0).max() <= (SEEDS if apart else SAME):
            found[rows] = mixture[rows].mean(0)
    return found


def _rows(places: npt.NDArray[np.int64], most: int = 6) -> str:
    """ "Row 5", "Rows 5, 7 and 8", or the first few of many."""
    if len(places) == 1:
        return f"Row {places[0] + 1}"
    shown = [str(one + 1) for one in places[:most]]
    more = [f"{len(places) - most:,} more"] if len(places) > most else []
    return f"Rows {_listed(shown + more, 'and')}"


def _listed(names: Sequence[str], last: str) -> str:
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def groups_of(settings: Settings) -> npt.NDArray[np.int64]:
    """Equal numbers for equal mixtures and settings."""
    columns = [settings.mixture.round(9), *(column[:, None] for column in settings.values.values())]
    return np.unique(np.hstack(columns), axis=0, return_inverse=True)[1].ravel().astype(np.int64)


def _run(settings: Settings, group: npt.NDArray[np.int64], run: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Equal numbers for rows of one run, (n,).

    They have its name, its mixture, and all settings alike but how far it had come: so a column that numbers
    repetitions joins nothing.
    """
    fixed = {name: column for name, column in settings.values.items() if name not in PROGRESS}
    alike = groups_of(Settings(settings.sources, settings.mixture, fixed)) if settings.sources or fixed else 0 * group
    _, name = np.unique(run, return_inverse=True)
    _, key = np.unique(np.column_stack([alike, name.ravel()]), axis=0, return_inverse=True)
    return key.ravel().astype(np.int64)


def _clusters(group: npt.NDArray[np.int64], run: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Groups joined where a run has rows in several; None if no run has."""
    label = group.copy()
    while True:  # the least label of a run's rows, then of a group's, until nothing changes
        before = label
        for by in (run, group):
            least = np.full(int(by.max()) + 1, len(label), np.int64)
            np.minimum.at(least, by, label)
            label = least[by]
        if (label == before).all():
            return None if len(np.unique(label)) == len(np.unique(group)) else label


def _named(
    table: pa.Table,
    asked: Sequence[str] | None,
    pattern: re.Pattern[str],
    name: str,
    option: str,
    inputs: Sequence[str] = (),
) -> dict[str, str]:
    """Column by short name, sorted by short name."""
    if asked is None:
        matches = [(pattern.fullmatch(column), column) for column in table.column_names if column not in inputs]
        pairs = [(match[1], column) for match, column in matches if match]
    else:
        by_short = {match[1]: one for one in table.column_names if (match := pattern.fullmatch(one))}
        pairs = []
        for one in asked:
            column = one if one in table.column_names else by_short.get(one)
            if column is None:
                raise UsageError(
                    f"{name} has no column '{one}', which {option} names. "
                    f"Its columns are: {', '.join(table.column_names[:12])}."
                )
            match = pattern.fullmatch(column)
            pairs.append((match[1] if match else column, column))
    found = dict(sorted(pairs))
    if len(found) < len(pairs):
        raise DataError(
            f"{name} has two columns for one name. Keep one of: {', '.join(column for _, column in pairs)}."
        )
    return found


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _numbers(table: pa.Table, column: str, name: str) -> Floats:
    """A column's numbers; NaN where a column of text holds something else, as runs that diverged are often noted."""
    values = table.column(column)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        found = np.array([_number(one) for one in values.to_pylist()], np.float64)
        if not np.isnan(found).all():
            return found
    if not _numeric(values.type):
        raise DataError(f"Column '{column}' of {name} holds {values.type}, not numbers.")
    return values.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)


def _some_numbers(column: pa.ChunkedArray) -> bool:
    """Whether a column of text has cells that are numbers."""
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return text and not all(np.isnan(_number(one)) for one in column.to_pylist())


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


def _mixture(table: pa.Table, shares: Mapping[str, str], name: str) -> Floats:
    if not shares:
        return np.empty((table.num_rows, 0))
    found = np.column_stack([_numbers(table, column, name) for column in shares.values()])
    wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)).all(1))
    if len(wrong):
        raise DataError(f"Row {wrong[0] + 1} of {name} has a weight that is negative or not a number.")
    total = found.sum(1)
    off = np.flatnonzero(np.abs(total - 1) > TOLERANCE)
    if len(off):
        such = "1 such row" if len(off) == 1 else f"{len(off):,} such rows"
        hundred = " These look like percentages: divide them by 100." if (np.abs(total - 100) < 1).all() else ""
        raise DataError(
            f"Row {off[0] + 1} of {name}: the weights sum to {total[off[0]]:.4g}, not to 1 ({such}). "
            f"Give shares of training tokens, of all sources.{hundred}"
        )
    return found / total[:, None]


def _from_ledger(
    folder: Path, arms: str | Path | None, losses: Sequence[str] | None, skip_bad: bool, inputs: Sequence[str] | None
) -> Table:
    from ..proof.ledger import Ledger

    if arms is None:
        raise UsageError(
            f"{folder} is a folder. If it is a ledger of trials, name with --arms a table that has a column 'arm' and "
            "each arm's shares (mix.NAME)."
        )
    told = open_table(Path(arms))
    if "arm" not in told.column_names:
        raise DataError(f"{arms} has no column 'arm'. Give one row for every arm of the ledger.")
    place = {arm: at for at, arm in enumerate(told.column("arm").to_pylist())}
    trials = [trial for trial in Ledger(folder).trials() if trial.arm in place and trial.status == "finished"]
    if not trials:
        raise DataError(f"No finished trial of {folder} belongs to an arm of {arms}. Its arms are: {', '.join(place)}.")
    recipes = [trial.recipe for trial in trials]
    common = max(sorted(set(recipes)), key=recipes.count)
    used = [trial for trial in trials if trial.recipe == common]
    of_arm = np.array([place[trial.arm] for trial in used])
    rows = told.take(of_arm)
    names = sorted(set.intersection(*(set(trial.metrics) for trial in used)))
    for name in losses or [one for one in names if "/" not in one]:
        if name not in names:
            raise UsageError(
                f"The ledger's trials have no evaluation set '{name}'. They have: {', '.join(names[:12])}."
            )
        rows = rows.append_column(f"loss.{name}", pa.array([trial.metrics[name] for trial in used]))
    found = from_arrow(rows, str(folder), None, losses, skip_bad, inputs)
    others = len(trials) - len(used)
    notes = (f"{others:,} trials of other recipes were left out",) if others else ()
    assert found.row is not None
    return replace(found, notes=(*found.notes, *notes), row=of_arm[found.row - 1] + 1, file=str(arms))
