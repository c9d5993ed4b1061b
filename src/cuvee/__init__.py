"""cuvee decides what a model trains on, and proves that it helped.

>>> import cuvee
>>> kept = cuvee.select("pool/", target="target.jsonl", method="dsir", tokens=10**9, output="kept")
>>> kept.digest
>>> cuvee.prove("kept", evaluations={"held_out": "held-out.jsonl"}).summary["verdict"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .engine.ray import Ray
    from .errors import BusyError, CuveeError, DataError, ResourceError, UsageError
    from .exporting import Export, export_mix
    from .feed.write import WriteResult, write_selection
    from .fitting import Fitted, fit_law
    from .mixing import Mixed, mix_sources
    from .near_duplicates import Guarded, guard
    from .online.mix import OnlineMix
    from .pool import Reading
    from .pretraining import Pretrained, pretrain
    from .profiling import Profiled, profile
    from .proving import Proved, prove
    from .rating.job import Rated, rate
    from .selecting import Selected, select
    from .transporting import Transported, transport_mix
    from .utilities import Utilities, end_utilities

_LAZY = {
    "Ray": "engine.ray",
    "select": "selecting",
    "Selected": "selecting",
    "profile": "profiling",
    "Profiled": "profiling",
    "prove": "proving",
    "Proved": "proving",
    "export_mix": "exporting",
    "Export": "exporting",
    "fit_law": "fitting",
    "Fitted": "fitting",
    "mix_sources": "mixing",
    "pretrain": "pretraining",
    "Pretrained": "pretraining",
    "search_mix": "searching",
    "end_utilities": "utilities",
    "Utilities": "utilities",
    "Searched": "searching",
    "transport_mix": "transporting",
    "Transported": "transporting",
    "Mixed": "mixing",
    "guard": "near_duplicates",
    "rate": "rating.job",
    "Rated": "rating.job",
    "OnlineMix": "online.mix",
    "Guarded": "near_duplicates",
    "Reading": "pool",
    "WriteResult": "feed.write",
    **dict.fromkeys(("CuveeError", "UsageError", "DataError", "ResourceError", "BusyError"), "errors"),
    "write_selection": "feed.write",
}
__all__ = [
    "BusyError",
    "CuveeError",
    "DataError",
    "Export",
    "Fitted",
    "Guarded",
    "Mixed",
    "OnlineMix",
    "Pretrained",
    "Profiled",
    "Proved",
    "Rated",
    "Ray",
    "Reading",
    "ResourceError",
    "Searched",
    "Selected",
    "Transported",
    "UsageError",
    "Utilities",
    "WriteResult",
    "__version__",
    "end_utilities",
    "export_mix",
    "fit_law",
    "guard",
    "mix_sources",
    "pretrain",
    "profile",
    "prove",
    "rate",
    "search_mix",
    "select",
    "transport_mix",
    "write_selection",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module 'cuvee' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
