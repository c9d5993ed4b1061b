"""What people type: amounts (2M tokens, 1.5GB, 10 %), and commands to copy into a shell."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from .errors import UsageError

MOST = 2**62
"""The largest amount: sums of two still fit into 64 bits."""
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_SIZES = {"": 1, "b": 1} | {
    unit + suffix: factor
    for unit, power in (("k", 1), ("m", 2), ("g", 3), ("t", 4))
    for suffix, factor in (("", 1000**power), ("b", 1000**power), ("ib", 1024**power))
}


def _parse(text: str, units: dict[str, int], what: str, example: str) -> int:
    match = re.fullmatch(r"\s*((?:[0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE]\+?[0-9]{1,3})?)\s*([a-zA-Z]*)\s*", text)
    unit = match.group(2).lower() if match else ""
    if match is None or unit not in units:
        below = ": it is below 0" if re.fullmatch(r"\s*-\s*[0-9.].*", text) else ""
        raise UsageError(f"'{text}' is not {what}{below}. Write it like {example}.")
    exact = Decimal(match.group(1).replace(",", "").replace("_", "")) * units[unit]
    amount = int(exact)
    if amount != exact:
        raise UsageError(f"'{text}' is not a whole number.")
    if amount > MOST:
        raise UsageError(f"'{text}' is more than can be counted. Ask for less.")
    return amount


def count(text: str) -> int:
    """A number of tokens or rows: "200", "10k", "2M", "1.5B", "3e9"."""
    return _parse(text, _COUNTS, "an amount", "500, 10k, 2M or 1B")


def size(text: str) -> int:
    """A number of bytes: "4096", "200MB", "1.5GiB"."""
    return _parse(text, _SIZES, "a size", "500MB or 1.5GB")


def fraction(text: str) -> float:
    """A share: "0.1" or "10%"."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    if match is None:
        raise UsageError(f"'{text}' is not a share. Write it like 0.1 or 10%.")
    return float(match.group(1)) / (100 if match.group(2) else 1)


def part(text: str) -> tuple[int, int]:
    """Which of how many: "3/16"."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    if match is None:
        raise UsageError(f"'{text}' is not a part. Write it like 3/16, the third of sixteen.")
    return int(match.group(1)), int(match.group(2))


def method_call(text: str, option: str = "--with") -> tuple[str, dict[str, str]]:
    """ "dsir:ngrams=3,buckets=5000", given with an option, as a name and its settings."""
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"'{part}' is not a setting. Write {option} {name}:parameter=value,parameter=value.")
        parameter = key.strip().replace("-", "_")
        if parameter in settings:
            raise UsageError(f"{option} {name} sets '{parameter}' twice. Give each parameter one value.")
        settings[parameter] = value.strip()
    return name.strip(), settings


def method_calls(text: str) -> list[tuple[str, dict[str, str]]]:
    """ "dsir:ngrams=3,buckets=5000,classifier" as names and settings: a part without "=", or with ":" before it, begins
    the next method."""
    calls: list[str] = []
    for part in filter(str.strip, text.split(",")):
        if calls and "=" in part and ":" not in part.partition("=")[0]:
            calls[-1] += f",{part}"
        else:
            calls.append(part)
    return [method_call(call) for call in calls or [text]]


def shares(text: str) -> dict[str, float] | str:
    """ "code=0.3,web=0.7", or "proportional" or "uniform"."""
    if text in ("proportional", "uniform"):
        return text
    found: dict[str, float] = {}
    for part in text.split(","):
        key, equals, value = part.rpartition("=")
        if not equals or not key:
            raise UsageError(f"'{part}' is not a share. Write --quota domain=0.3,other=0.7, proportional or uniform.")
        if key.strip() in found:
            raise UsageError(f"--quota names the domain '{key.strip()}' twice. Give each domain one share.")
        found[key.strip()] = fraction(value)
    return found


def weights(text: str, option: str = "--weights", what: str = "domain") -> dict[str, str]:
    """ "code=0.3,web=70%", given with an option, as the exact numbers that were written, by domain or ``what`` else.

    A name with a comma stands in double quotes, "a, b"=0.3, one in it written twice; or all stand in a JSON object,
    {"a, b": 0.3}, which may be the content of a file whose name ends in .json.
    """
    if not text.strip():
        raise UsageError(f"{option} names no {what}. Write {option} web=0.7,code=0.3, or leave it out.")
    if text.lstrip().startswith("{") or (text.endswith(".json") and "=" not in text):
        return _weights_of_json(text, option, what)
    found: dict[str, str] = {}
    for part in _parts(text):
        written, equals, value = part.rpartition("=")
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", value)
        key = written.strip()
        if len(key) > 1 and key[0] == key[-1] == '"':
            key = key[1:-1].replace('""', '"')
        if not equals or not written.strip() or match is None:
            raise UsageError(
                f"'{part}' is not a weight. Write {option} web=0.7,code=0.3; a name with a comma in double quotes."
            )
        if key in found:
            raise UsageError(f"{option} names the {what} '{key}' twice. Give each {what} one weight.")
        found[key] = str(Decimal(match.group(1)) / (100 if match.group(2) else 1))
    return found


def _parts(text: str) -> list[str]:
    """What stands between commas that are not in double quotes."""
    parts, quoted = [""], False
    for character in text:
        quoted ^= character == '"'
        if character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return text.split(",") if quoted else parts  # a lone quotation mark is a letter


def _weights_of_json(text: str, option: str, what: str) -> dict[str, str]:
    """The same from an object of names and numbers, as written or in a file; numbers keep their digits."""
    content = text
    if not text.lstrip().startswith("{"):
        try:
            content = Path(text).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"{option} names the file {text}, which cannot be read: {error}.") from None
    twice: list[str] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        twice.extend(name for name in names if names.count(name) > 1)
        return dict(pairs)

    try:
        read = json.loads(content, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        read = None
    if twice:
        raise UsageError(f"{option} names the {what} '{twice[0]}' twice. Give each {what} one weight.")
    whole = isinstance(read, dict) and read and all(isinstance(one, Decimal) and one >= 0 for one in read.values())
    if not whole:
        raise UsageError(f'{option} {text[:60]} is no JSON object of weights. Write {{"web": 0.7, "code": 0.3}}.')
    return {name: format(value, "f") for name, value in read.items()}


def weight_name(name: str) -> str:
    """A name as :func:`weights` reads it back."""
    plain = name == name.strip() and not set(name) & set(',"') and not name.startswith("{")
    return name if plain and name else '"' + name.replace('"', '""') + '"'


def settings(parts: Iterable[str]) -> dict[str, float]:
    """("tokens=1B", "share=0.3", "diversity=-1.2") as numbers by name; which of them may be below 0 the law says."""
    found: dict[str, float] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        match = re.fullmatch(r"\s*([+-]?[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([kmbgt]?)\s*", value.lower())
        if not equals or not key.strip() or match is None:
            raise UsageError(f"'{part}' is not a setting: a column and a number. Write --at tokens=1B.")
        found[key.strip()] = float(match.group(1)) * _COUNTS[match.group(2)]
    return found


_WORD = re.compile(r"""\s*((?:\$'(?:\\.|[^'\\])*'|'[^']*'|"[^"]*"|[^\s'"])+)\s*""")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "'": "\\'", "\\": "\\\\"}


def weight_list(weights: Mapping[str, float], digits: int = 6) -> str:
    """Weights as an option takes them, like 'code=0.3,"a, b"=0.7', without exponents."""
    return ",".join(f"{weight_name(name)}={Decimal(f'{value:.{digits}g}'):f}" for name, value in weights.items())


def shell_word(text: str) -> str:
    """A word as a shell reads it, on one line: in $'...' if it holds characters that cannot be shown."""
    if text.isprintable():
        return shlex.quote(text)
    shown = [_SHORT.get(one) or (one if one.isprintable() else _as_bytes(one)) for one in text]
    return f"$'{''.join(shown)}'"


def _as_bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def shell_path(path: str | os.PathLike[str]) -> str:
    """A path as a shell and a command read it: one that begins with a dash is not an option."""
    text = os.fspath(path)
    return shell_word(f"./{text}" if text.startswith("-") else text)


def shell_line(words: Iterable[str]) -> str:
    """A command that can be typed again."""
    return " ".join(map(shell_word, words))


def next_lines(command: str, width: int = 80) -> list[str]:
    """The command to type next on as many lines as it needs, each going on as a shell understands it."""
    found = ["next:"]
    words, at = [], 0
    while match := _WORD.match(command, at):
        words.append(match.group(1))
        at = match.end()
    if at < len(command):  # shortened inside quotes
        return [f"next: {command}"]
    for word in words:
        if len(found[-1]) + len(word) + 3 > width and len(found[-1]) > 5:
            found[-1] += " \\"
            found.append("     ")
        found[-1] += f" {word}"
    return found
