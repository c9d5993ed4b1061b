"""Write ``src/cuvee/feature/unicode.npz``: for every code point its class and its lower case, as this interpreter has
them.

    python scripts/make_unicode_tables.py [OUTPUT]

Run it once per Unicode version that cuvee moves to (never on a user's machine: the point of shipping the table is that
results do not change with the interpreter). Everything is measured by asking ``str`` and ``re``, nothing is copied from
the Unicode database, so the table equals Python by construction. A record holds

    flags    bits 0-2: class (see cuvee.feature.unicode); 8: case-ignorable; 16: cased; 32: lower case is several
    characters shift    lower case minus code point, or the row of ``special`` when bit 32 is set

and ``record[block[c >> 7] << 7 | c & 127]`` is the number of code point c's record. ``marks`` lists the code points
that belong to the character before them, as runs (first, last).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

import numpy as np

OTHER, SPACE, NUMBER, DIGIT, LETTER = range(5)
IGNORABLE, CASED, SPECIAL = 8, 16, 32
BLOCK = 128
OUTPUT = Path(__file__).parent.parent / "src/cuvee/feature/unicode.npz"


def kind(char: str) -> int:
    """The class of one character; word characters (``\\w``) are the classes from NUMBER on."""
    if re.fullmatch(r"\s", char):
        return SPACE
    if not re.fullmatch(r"\w", char):
        return OTHER
    if char.isalpha():
        return LETTER
    return DIGIT if char.isdecimal() else NUMBER


def sigma_flags(char: str) -> int:
    """How this character acts in the final-sigma rule, found by putting it in front of a capital sigma.

    Looking back from the sigma Python skips ignorable characters and asks whether the first other one is cased.
    """
    after_space = (" " + char + "Σ").lower().endswith("ς")
    after_letter = ("a" + char + "Σ").lower().endswith("ς")
    if after_space:
        return CASED
    return IGNORABLE if after_letter else 0


def is_mark(char: str) -> bool:
    """Whether a character belongs to the one before it: combining marks, and the two joiners that shape letters."""
    return unicodedata.category(char) in ("Mn", "Mc", "Me") or char in "\u200c\u200d"


def main(output: Path) -> None:
    """Build, check and write the table."""
    records: dict[tuple[int, int], int] = {}
    special: list[tuple[int, int, int]] = []
    number = np.zeros(0x110000, np.uint8)
    for code in range(0x110000):
        char = chr(code)
        flags, shift = OTHER, 0
        if not 0xD800 <= code < 0xE000:
            flags = kind(char) | sigma_flags(char)
            lower = char.lower()
            if len(lower) == 1:
                shift = ord(lower) - code
                assert (kind(lower) >= NUMBER) == (kind(char) >= NUMBER), char
                assert (kind(lower) == SPACE) == (kind(char) == SPACE), char
            else:
                flags, shift = flags | SPECIAL, len(special)
                points = [ord(c) for c in lower] + [0] * (3 - len(lower))
                special.append((points[0], points[1], points[2]))
        number[code] = records.setdefault((flags, shift), len(records))
    assert len(records) <= 256
    blocks, block = np.unique(number.reshape(-1, BLOCK), axis=0, return_inverse=True)
    assert len(blocks) <= 256
    marks = np.flatnonzero([is_mark(chr(code)) for code in range(0x110000)])
    runs = np.split(marks, np.flatnonzero(np.diff(marks) > 1) + 1)
    np.savez_compressed(
        output,
        block=block.astype(np.uint8).ravel(),
        record=blocks.ravel(),
        flags=np.array([flags for flags, _ in records], np.uint8),
        shift=np.array([shift for _, shift in records], np.int32),
        special=np.array(special, np.int32).reshape(-1, 3),
        marks=np.array([(run[0], run[-1]) for run in runs], np.int32),
        version=np.array(unicodedata.unidata_version),
    )
    print(f"{output}: Unicode {unicodedata.unidata_version}, {len(records)} records, {len(blocks)} blocks")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT)
