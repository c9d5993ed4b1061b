"""Packing and tokens of the transformer proxy; needs no PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch
from cuvee.errors import DataError, MissingExtraError, UsageError
from cuvee.examples import as_batch
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.packing import IGNORED, Rows, pack, windows
from cuvee.proof.proxies.tokens import Tokens, Vocabulary, inspect, train_bpe
from cuvee.proof.proxies.transformer import SIZES, Transformer
from cuvee.proof.proxy import Recipe, Watch

SEPARATOR = 256
TEXTS = st.lists(st.binary(max_size=40), min_size=1, max_size=12)
CONTEXTS = st.integers(2, 20)


def keyed(texts: list[bytes], keys: list[int], domains: list[str] | None = None) -> Batch:
    plain = as_batch(texts)
    columns = {} if domains is None else {"domain": np.array(domains)}
    return Batch(plain.data, plain.offsets, plain.row, np.array(keys, np.uint64), columns)


def bytes_of(batch: Batch) -> Tokens:
    return Vocabulary(None).encode(batch)


def pairs(rows: Rows) -> dict[int, tuple[list[int], list[int]]]:
    """Inputs and targets of each document, in the order of rows."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    for inputs, targets, documents in zip(rows.inputs, rows.targets, rows.document, strict=True):
        for one, target, document in zip(inputs.tolist(), targets.tolist(), documents.tolist(), strict=True):
            assert (target == IGNORED) == (document == IGNORED)
            if document != IGNORED:
                found.setdefault(document, ([], []))[0].append(one)
                found[document][1].append(target)
    return found


@given(TEXTS, CONTEXTS)
@settings(max_examples=100, deadline=None)
def test_every_token_and_end_is_a_target_once(texts: list[bytes], context: int) -> None:
    batch = keyed(texts, list(range(len(texts))))
    rows = pack(batch, bytes_of(batch), context, SEPARATOR)
    total = sum(len(text) + 1 for text in texts)
    assert rows.inputs.shape == (-(-total // context), context)
    assert pairs(rows) == {i: ([SEPARATOR, *text], [*text, SEPARATOR]) for i, text in enumerate(texts)}
    assert (rows.targets[:-1] != IGNORED).all()  # only the last row is padded
    assert (np.diff((rows.targets[-1] == IGNORED).astype(int)) >= 0).all()


@given(TEXTS, CONTEXTS, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=100, deadline=None)
def test_rows_do_not_depend_on_the_order_of_documents(texts: list[bytes], context: int, chance, equal: bool) -> None:  # type: ignore[no-untyped-def]
    documents = [(text, 7 if equal else (i * 2654435761) % 2**32) for i, text in enumerate(texts)]
    first = keyed([text for text, _ in documents], [key for _, key in documents])
    chance.shuffle(documents)
    second = keyed([text for text, _ in documents], [key for _, key in documents])
    one, two = (pack(batch, bytes_of(batch), context, SEPARATOR) for batch in (first, second))
    for name in ("inputs", "targets", "document", "key", "domain"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_a_row_has_the_key_and_domain_of_its_first_document() -> None:
    batch = keyed([b"abcdefg", b"hi", b"jklm"], [30, 10, 20], ["b", "a", "c"])
    rows = pack(batch, bytes_of(batch), 4, SEPARATOR)
    # by domain: hi (3 targets), abcdefg (8), jklm (5); whole rows first, then what is left of a and of c
    assert rows.document.ravel().tolist() == [1] * 8 + [2] * 4 + [0] * 3 + [2]
    assert rows.domain.tolist() == [1, 1, 2, 0]
    assert len(set(rows.key.tolist())) == 4
    other = keyed([b"hi", b"jklm"], [10, 20])
    alone = pack(other, bytes_of(other), 3, SEPARATOR)
    assert alone.document.ravel().tolist() == [0] * 3 + [1] * 5 + [IGNORED]  # by key, without domains


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.sampled_from("abc")), min_size=1, max_size=20),
    CONTEXTS,
)
@settings(max_examples=100, deadline=None)
def test_rows_hold_one_domain(documents: list[tuple[bytes, str]], context: int) -> None:
    """But for one a domain at most: what trains a domain's share of rows trains its share of tokens."""
    texts, domains = [text for text, _ in documents], [domain for _, domain in documents]
    batch = keyed(texts, list(range(len(texts))), domains)
    rows = pack(batch, bytes_of(batch), context, SEPARATOR)
    order = sorted(range(len(texts)), key=lambda at: (domains[at], at))
    assert pairs(rows).keys() == set(range(len(texts)))
    for place, at in enumerate(order):
        inputs, targets = pairs(rows)[place]
        assert (inputs, targets) == ([SEPARATOR, *texts[at]], [*texts[at], SEPARATOR])
    codes = {name: code for code, name in enumerate(sorted(set(domains)))}
    mixed = 0
    for documents_of_row, domain in zip(rows.document.tolist(), rows.domain.tolist(), strict=True):
        held = [codes[domains[order[one]]] for one in documents_of_row if one != IGNORED]
        assert held[0] == domain
        mixed += len(set(held)) > 1
    assert mixed <= len(codes)
    assert (rows.targets[:-1] != IGNORED).all()


@given(TEXTS, CONTEXTS)
@settings(max_examples=100, deadline=None)
def test_windows_hold_every_target_once_and_cut_documents_at_their_own_multiples(
    texts: list[bytes], context: int
) -> None:
    rows = windows(bytes_of(as_batch(texts)), context, SEPARATOR)
    found: dict[int, list[tuple[list[int], list[int]]]] = {}
    for inputs, targets, documents in zip(rows.inputs, rows.targets, rows.document, strict=True):
        for document in set(documents.tolist()) - {IGNORED}:
            at = np.flatnonzero(documents == document)
            assert (np.diff(at) == 1).all()
            found.setdefault(document, []).append((inputs[at].tolist(), targets[at].tolist()))
    for i, text in enumerate(texts):
        whole = [SEPARATOR, *text, SEPARATOR]
        expected = [
            (whole[at : min(at + context, len(text) + 1)], whole[at + 1 : min(at + context, len(text) + 1) + 1])
            for at in range(0, len(text) + 1, context)
        ]
        assert sorted(found[i]) == sorted(expected)


def test_a_batch_may_begin_inside_its_data() -> None:
    batch = Batch(np.frombuffer(b"--abcd", np.uint8), np.array([2, 3, 6]), np.arange(2), np.arange(2).astype(np.uint64))
    assert bytes_of(batch).ids.tolist() == list(b"abcd")
    assert bytes_of(batch).offsets.tolist() == [0, 1, 4]


def test_sizes_are_what_their_names_say() -> None:
    for name, shape in SIZES.items():
        assert shape.parameters(257) / 1e6 == pytest.approx(float(name[:-1]), rel=0.08), name
        assert shape.width % shape.heads == 0 and shape.width // shape.heads % 2 == 0


def test_flops_are_six_per_parameter_and_the_attention() -> None:
    shape = SIZES["1M"]
    expected = 6 * shape.parameters(257) + 12 * shape.depth * 128 * shape.width
    assert Transformer(size="1M", context=128).train_flops(10) == pytest.approx(10 * expected)


def test_schedules() -> None:
    cosine, wsd = Transformer(rate=1.0), Transformer(rate=1.0, schedule="wsd")
    assert [round(one.rate_at(0.0), 6) for one in (cosine, wsd)] == [0.1, 0.1]
    assert cosine.rate_at(0.55) == pytest.approx(0.5)
    assert [round(wsd.rate_at(at), 6) for at in (0.1, 0.79, 0.9, 1.0)] == [1.0, 1.0, 0.5, 0.0]
    assert cosine.rate_at(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "2M"},
        {"schedule": "linear"},
        {"context": 1},
        {"batch": 0},
        {"warmup": 1.0},
        {"rate": -1.0},
        {"rate": float("nan")},
        {"tokenizer_digest": "00"},
    ],
)
def test_refuses_what_it_cannot_do(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="transformer"):
        Transformer(**wrong)  # type: ignore[arg-type]


def test_importing_the_proxy_does_not_import_torch() -> None:
    code = (
        "import sys, cuvee.proof.proxies.transformer; sys.exit('torch' in sys.modules or 'tokenizers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_torch_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"needs PyTorch.*pip install 'cuvee\[torch\]'"):
        Transformer().train(as_batch([b"abc"]), [], Uniform(), 1.0, 0, Watch())


def test_missing_tokenizers_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match="tokenizers"):
        train_bpe(["abc"], 300, tmp_path / "tokenizer.json")


def test_a_file_that_is_no_byte_level_bpe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        inspect(path)
    path.write_text(json.dumps({"model": {"type": "WordPiece", "vocab": {"a": 0}}}))
    with pytest.raises(UsageError, match="byte-level"):
        Transformer(tokenizer=str(path))


@pytest.fixture(scope="module")
def prose() -> list[str]:
    lines = (Path(__file__).parents[2] / "src/cuvee/demo/target.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:40]]


def test_bpe_is_deterministic_and_enters_the_recipe_by_content(tmp_path: Path, prose: list[str]) -> None:
    pytest.importorskip("tokenizers")
    one, two, three = (tmp_path / f"{name}.json" for name in "abc")
    assert train_bpe(prose, 400, one) == train_bpe(prose[::-1], 400, two)
    assert one.read_bytes() == two.read_bytes()
    train_bpe(prose, 500, three)
    recipes = [Recipe(Transformer(tokenizer=str(path)), Uniform()).digest() for path in (one, two, three)]
    assert recipes[0] == recipes[1] != recipes[2] != Recipe(Transformer(), Uniform()).digest()
    with pytest.raises(UsageError, match="changed"):
        Transformer(tokenizer=str(three), tokenizer_digest=inspect(one).digest)


def test_bpe_tokens_stand_for_the_text(tmp_path: Path, prose: list[str]) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = str(tmp_path / "tokenizer.json")
    train_bpe(prose, 400, path)
    vocabulary = Vocabulary(path)
    assert (vocabulary.size, vocabulary.separator) == (401, 400)
    texts = [prose[0], "", "ünïcode \u2603 \U0001f600\n\n  x"]
    found = vocabulary.encode(as_batch([text.encode() for text in texts]))
    reader = tokenizers.Tokenizer.from_file(path)
    parts = [found.ids[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
    assert [reader.decode(part) for part in parts] == texts
    assert len(parts[0]) < 0.7 * len(texts[0])
