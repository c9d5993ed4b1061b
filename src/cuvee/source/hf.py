"""Hugging Face datasets as ``save_to_disk`` leaves them: a folder with state.json and Arrow streams."""

from __future__ import annotations

import json
from typing import Any

from cuvee.errors import DataError

from .arrow import ArrowSource
from .base import Source
from .files import File, plain, reading

MARKS = ("state.json", "dataset_dict.json")
MOST = 64 << 20


def hf_sources(folder: File) -> list[Source]:
    """The Arrow files of a saved dataset, in its own order. ``folder`` may not be a DatasetDict."""
    state = _load(folder.below("state.json"))
    if state.get("_indices_files"):
        raise DataError(
            f"{plain(folder.name)}: this dataset is a view on other rows (_indices_files). "
            "Call flatten_indices() on it and save it again."
        )
    listed = state.get("_data_files")
    names: list[Any] = [e.get("filename") if isinstance(e, dict) else None for e in listed or []]
    if not isinstance(listed, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{plain(folder.below('state.json').name)}: lists no _data_files. Save the dataset again.")
    if any("/" in name or "\\" in name or name in ("", ".", "..") for name in names):
        raise DataError(
            f"{plain(folder.below('state.json').name)}: names a file outside its folder. Save the dataset again."
        )
    if len(set(names)) < len(names):
        raise DataError(f"{plain(folder.below('state.json').name)}: names a file twice. Save the dataset again.")
    return [ArrowSource(folder.below(name)) for name in names]


def refuse_dict(folder: File) -> None:
    """Tell which splits there are to choose from."""
    splits = _load(folder.below("dataset_dict.json")).get("splits")
    names = [plain(str(name)) for name in splits] if isinstance(splits, list) else []
    if not names:
        raise DataError(f"{plain(folder.below('dataset_dict.json').name)}: names no splits. Save the dataset again.")
    choices = ", ".join(plain(folder.below(name).name) for name in names)
    raise DataError(f"{plain(folder.name)}: holds several splits. Name one: {choices}.")


def _load(file: File) -> dict[str, Any]:
    text = file.head(MOST)
    with reading(file.name, advice="Save the dataset again."):
        try:
            found = json.loads(text)
        except RecursionError:
            raise DataError(f"{plain(file.name)}: is nested too deep. Save the dataset again.") from None
    if not isinstance(found, dict):
        raise DataError(f"{plain(file.name)}: is not a JSON object. Save the dataset again.")
    return found
