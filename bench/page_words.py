"""What the parts of ``docs/performance.md`` have in common: wrapped prose, and sizes in words."""

from __future__ import annotations

import textwrap


def prose(*sentences: str) -> list[str]:
    """Sentences as a paragraph of lines that fit the page's source, and an empty line after it."""
    lines = textwrap.wrap(" ".join(sentences), 118, break_long_words=False, break_on_hyphens=False)
    return [*lines, ""]


def gigabytes(megabytes: str) -> str:
    """10 MB, 1 GB."""
    return f"{int(megabytes) // 1000} GB" if int(megabytes) >= 1000 else f"{megabytes} MB"
