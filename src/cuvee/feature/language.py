"""Roughly which language a text is in, from its script, its letters and its commonest little words.

The script that most letters belong to comes first; it settles the matter for Greek, Korean, Thai and others. Among the
languages of one script, a text scores for every function word of a language, and for its special letters; the rarer a
word or letter is among the languages, the more it counts. A text in which hardly any word is a function word of the
best language is "unknown", one with much punctuation of the kind that programs and markup use is "code or markup".
The word lists, ``languages.txt``, are short and written for this purpose.

Good for shares of a pool, not for deciding about a row: a text has one language here, the dominant one, and short or
mixed texts, names and lists are often mistaken for a neighbour. Danish and Norwegian, Indonesian and Malay, or Croatian
and Serbian in Latin letters can hardly be told apart by such means; the last two pairs carry one name.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path

CODE, UNKNOWN = "code or markup", "unknown"
READ = 1_000
"""Characters of a text that are looked at; four times as many for code, which often begins with prose."""

_RANGES = [
    (0x0041, 0x024F, "Latin"),
    (0x0250, 0x02FF, "other"),
    (0x0370, 0x03FF, "Greek"),
    (0x0400, 0x052F, "Cyrillic"),
    (0x0530, 0x058F, "Armenian"),
    (0x0590, 0x05FF, "Hebrew"),
    (0x0600, 0x06FF, "Arabic"),
    (0x0750, 0x077F, "Arabic"),
    (0x0900, 0x097F, "Devanagari"),
    (0x0980, 0x09FF, "Bengali"),
    (0x0A00, 0x0A7F, "Gurmukhi"),
    (0x0A80, 0x0AFF, "Gujarati"),
    (0x0B00, 0x0B7F, "Odia"),
    (0x0B80, 0x0BFF, "Tamil"),
    (0x0C00, 0x0C7F, "Telugu"),
    (0x0C80, 0x0CFF, "Kannada"),
    (0x0D00, 0x0D7F, "Malayalam"),
    (0x0D80, 0x0DFF, "Sinhala"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x0E80, 0x0EFF, "Lao"),
    (0x0F00, 0x0FFF, "Tibetan"),
    (0x1000, 0x109F, "Burmese"),
    (0x10A0, 0x10FF, "Georgian"),
    (0x1100, 0x11FF, "Hangul"),
    (0x1200, 0x139F, "Ethiopic"),
    (0x1780, 0x17FF, "Khmer"),
    (0x1E00, 0x1EFF, "Latin"),
    (0x1F00, 0x1FFF, "Greek"),
    (0x3040, 0x30FF, "Kana"),
    (0x3130, 0x318F, "Hangul"),
    (0x31F0, 0x31FF, "Kana"),
    (0x3400, 0x4DBF, "Han"),
    (0x4E00, 0x9FFF, "Han"),
    (0xAC00, 0xD7AF, "Hangul"),
    (0xF900, 0xFAFF, "Han"),
    (0xFB50, 0xFDFF, "Arabic"),
    (0xFE70, 0xFEFE, "Arabic"),
    (0xFF66, 0xFF9F, "Kana"),
    (0x20000, 0x3FFFF, "Han"),
]
_STARTS = [first for first, _, _ in _RANGES]
_SHARED = ("Latin", "Cyrillic", "Arabic")
"""Scripts of so many languages that a text in them may be in none of ours."""
_WIDE = {"Han": 3, "Kana": 2, "Hangul": 2}
"""What a character of a script says, in letters of an alphabet."""
_ALPHABETS = {"Latin": frozenset("abcdefghijklmnopqrstuvwxyz")}
_SPLIT = re.compile(r"[\s\d\u0021-\u0040\u005b-\u0060\u007b-\u00bf\u2000-\u206f\u060c\u061b\u061f\u06d4\u0964\u0965]+")
_SYMBOLS = re.compile(r"[{}\[\]()<>;=_|\\&$*+~^`]|::|//|#(?=!|include|define|if)")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_CODE_LINES = re.compile(
    r"^[ \t]*(?://|/\*|#include|#define|#!|@\w+|import [\w\"(.]|from \w[\w.]* import|package \w+$|func |fn |def "
    r"|class \w+[:({]|const |let |var |static |return\b|use \w+::|pub |(?:el)?if .*[:{]$|for .*[:{]$|else:"
    r"|[\w.]+ ?\(.*\)[:;]?$|[\w.\[\]]+ [-+]?= \S)",
    re.MULTILINE,
)
_LINE_ENDS = re.compile(r"[;{}>]\s*(?:\n|$)")


@dataclass(frozen=True)
class _Script:
    """Languages of a script: who uses each word and each special letter, and how much that counts."""

    names: tuple[str, ...]
    words: dict[str, tuple[tuple[int, ...], float]]
    letters: dict[str, tuple[tuple[int, ...], float]]


@cache
def _scripts() -> dict[str, _Script]:
    """``languages.txt``, by script."""
    listed: dict[str, list[tuple[str, str, list[str]]]] = {}
    for line in Path(__file__).with_name("languages.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, script, letters, words = line.split("|")
            listed.setdefault(script, []).append((name, letters, words.split()))
    found = {}
    for script, rows in listed.items():
        users: dict[str, list[int]] = {}
        special: dict[str, list[int]] = {}
        for at, (_, letters, listed_words) in enumerate(rows):
            for word in dict.fromkeys(listed_words):
                users.setdefault(word, []).append(at)
            for letter in dict.fromkeys(letters):
                special.setdefault(letter, []).append(at)
        weigh = {n: log((len(rows) + 1) / n) for n in range(1, len(rows) + 1)}
        found[script] = _Script(
            tuple(name for name, _, _ in rows),
            {word: (tuple(who), weigh[len(who)]) for word, who in users.items()},
            {letter: (tuple(who), weigh[len(who)]) for letter, who in special.items()},
        )
    return found


@cache
def script_of(character: str) -> str:
    """The script of a letter; "" for anything that is no letter."""
    code = ord(character)
    at = bisect_right(_STARTS, code) - 1
    if at < 0 or code > _RANGES[at][1] or (code < 0x2000 and not (character.isalpha() or code >= 0x900)):
        return ""
    return _RANGES[at][2]


def _looks_like_code(text: str) -> bool:
    """Whether punctuation is as in programs, markup or data rather than as in prose."""
    dense = len(text) - text.count(" ") - text.count("\n") - text.count("\t")
    symbols = len(_SYMBOLS.findall(text))
    lines = max(1, sum(1 for line in text.split("\n") if line.strip()))
    ends = len(_LINE_ENDS.findall(text))
    tags = sum(len(tag) for tag in _MARKUP.findall(text))
    share = symbols / max(dense, 1)
    if lines >= 4 and len(_CODE_LINES.findall(text)) > 0.25 * lines:
        return True
    return share > 0.09 or (share > 0.04 and ends > 0.15 * lines) or tags > 0.25 * dense


def detect(text: str) -> str:
    """The name of the language in which most of the text's beginning seems to be, or "code or markup", or "unknown"."""
    whole = _ESCAPES.sub("", text[: 4 * READ])
    text = whole[:READ].lower()
    kinds: Counter[str] = Counter()
    odd: dict[str, int] = {}
    for character, count in Counter(text).items():
        script = script_of(character)
        if script:
            kinds[script] += count * _WIDE.get(script, 1)
            if script not in _ALPHABETS or character not in _ALPHABETS[script]:
                odd[character] = count
    if not kinds:
        return UNKNOWN
    if kinds["Kana"] > 0.15 * kinds["Han"]:
        kinds["Kana"] += kinds.pop("Han", 0)
    script = kinds.most_common(1)[0][0]
    if _looks_like_code(whole):
        return CODE
    known = _scripts().get(script)
    if known is None:
        return UNKNOWN
    if len(known.names) == 1:
        return known.names[0]
    return _among(known, text, odd, script)


def _among(known: _Script, text: str, odd: dict[str, int], script: str) -> str:
    """The best of a script's languages, or "unknown"."""
    scores = [0.0] * len(known.names)
    hits = [0] * len(known.names)
    tokens = [token for token in _SPLIT.split(text) if token]
    for word, count in Counter(tokens).items():
        if word in known.words:
            users, weight = known.words[word]
            for at in users:
                scores[at] += weight * min(count, 1 + count**0.5)
                hits[at] += count
    for letter, count in odd.items():
        users, weight = known.letters.get(letter, ((), 0.0))
        if users and script == "Latin":  # a language without this letter loses what one with it is spared
            weight += 2.0
            scores = [score - 0.5 * count for score in scores]
        for at in users:
            scores[at] += 0.25 * weight * count
    best = max(range(len(scores)), key=scores.__getitem__)
    if script in _SHARED and (scores[best] <= 0 or hits[best] < 0.06 * len(tokens)):
        return UNKNOWN
    return known.names[best]


def language_shares(texts: Iterable[str]) -> list[dict[str, float | str]]:
    """[{"name", "share"}] over the texts, the largest first; ties by name."""
    counts = Counter(map(detect, texts))
    total = max(sum(counts.values()), 1)
    return [{"name": n, "share": c / total} for n, c in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
