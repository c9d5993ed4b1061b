"""What commands leave behind, and what they may not."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cuvee.engine.store import Store
from cuvee.proof.record import intact

from ..command import contents
from .launcher import Launcher

CHANGING = frozenset(
    ["seal", "timings", "seconds", "train_seconds", "eval_seconds", "total_seconds", "select_seconds", "select_flops"]
)
"""What a run says of itself, and the next one otherwise."""


def fingerprint(folder: Path) -> dict[str, Any] | None:
    """All that a finished command promises about its output: every byte, but for the time and passes that it took."""
    if not folder.exists():
        return None
    found: dict[str, Any] = {}
    for name, body in contents(folder).items():
        if "ledger/running/" in name:
            continue
        if "ledger/trials/" in name and not hidden(name):
            assert intact(body), f"{name} is not whole"
            found[name] = True
        elif "ledger/consulted/" in name and not hidden(name):
            found[name] = bool(json.loads(body))
        elif name.endswith(("proof.json", "mix.json", "fit.json", "search.json")):
            found[name] = table(json.loads(body))
            if name.endswith("search.json"):
                found[name]["counts"].pop("found")  # runs that the ledger had already
        elif name.endswith(("plan.json", "profile.json")):
            content = json.loads(body)
            content.pop("seal", None)
            for changing in ("timings", "passes"):
                content["reproduce"].pop(changing)
            found[name] = content
        elif name.endswith("report.html"):
            assert body.endswith((b"</html>", b"</html>\n")), f"{name} is cut short"
            found[name] = True
        else:
            found[name] = body
    return found


def table(proof: Any) -> Any:
    """All that a proof, a mix, a fit or a search says, but for its seal and the time that it took."""
    if isinstance(proof, list):
        return [table(one) for one in proof]
    if not isinstance(proof, dict):
        return proof
    return {name: table(value) for name, value in proof.items() if name not in CHANGING}


def leftovers(place: Path) -> list[str]:
    """What only a running command may have lying about, outside of the cache."""
    hidden = (path.relative_to(place) for path in place.rglob(".*"))
    return sorted(str(path) for path in hidden if path.parts[0] != "cache")


def damaged_in_cache(place: Path) -> list[str]:
    """Files of the cache that stand under their final names and are not whole."""
    store = Store(place / "cache")
    stored = (place / "cache").glob("??/[0-9a-f]*.arrow")
    return [path.name for path in stored if not _whole(store, path.parent.name + path.stem)]


def _whole(store: Store, key: str) -> bool:
    """Whether a stored file is a table or sections, every byte as it was written."""
    try:
        return store.has(key) or any(True for _ in list(store.sections(key)))
    except FileNotFoundError:
        return False


def in_two(scratch: Path, work: Callable[[Path, Launcher, int], Any]) -> list[Any]:
    """Do the work for 0 and for 1 at the same time, each in a folder and with a launcher of its own."""

    def half(number: int) -> Any:
        place = Path(tempfile.mkdtemp(dir=scratch))
        try:
            with Launcher() as launcher:
                return work(place, launcher, number)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(half, range(2)))


def hidden(name: str) -> bool:
    """Whether a file or a folder above it has a hidden name."""
    return any(part.startswith(".") for part in Path(name).parts)


def restore(folder: Path, held: dict[str, bytes]) -> None:
    """Write files below a folder that does not exist."""
    for name, body in held.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
