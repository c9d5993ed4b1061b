"""The language model against a plain Python one, against closed forms, and against the laws of a Fold."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch
from cuvee.errors import DataError, UsageError
from cuvee.feature.ngram_kernels import lower_text, scratch
from cuvee.feature.unicode import tables
from cuvee.fold import ngram_lm
from cuvee.fold.ngram_lm import LanguageModel, NgramLM
from cuvee.fold.ngram_lm_kernels import BEGIN, END, follower_table, mix, next_words, score_tokens

ALL = 2**64 - 1
FOLLOWERS = follower_table()


def batch(texts: list[str], keys: list[int] | None = None) -> Batch:
    raw = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in raw])]).astype(np.int64)
    key = np.arange(len(raw)) if keys is None else np.array(keys)
    return Batch(np.frombuffer(b"".join(raw), np.uint8), offsets, np.arange(len(raw)), key.astype(np.uint64))


def fitted(fold: NgramLM, texts: list[str]) -> LanguageModel:
    return fold.finish(fold.lift(batch(texts)))


def tokens_of(text: str, words: bool = True) -> list[int]:
    """Hashes of the tokens, ends of lines included."""
    if not words:
        return [int(END) if b == 10 else int(mix(BEGIN, np.uint64(b))) for b in text.encode()] + [int(END)]
    raw = np.frombuffer(text.encode(), np.uint8)
    memory, at, run, found = scratch(len(raw)), np.zeros(4, np.int64), np.empty(7, np.uint64), []
    length = lower_text(raw, 0, len(raw), tables(), memory)
    while at[0] >= 0:
        found += run[: next_words(length, memory, at, run)].tolist()
    return found


class Plain:
    """The model by dictionaries from slots to counts and to sets of follower bits; contexts are tuples of hashes."""

    def __init__(self, order: int, bits: int, lines: list[list[int]]) -> None:
        self.order, self.bits = order, bits
        self.count: Counter[tuple[int, int]] = Counter()
        self.mask: dict[tuple[int, int], int] = {}
        self.table = FOLLOWERS
        for line in lines:
            line = [int(BEGIN), *line]
            self.count[self.slot((line[0],))] += 1
            for at in range(1, len(line)):
                for size in range(1, min(order, at + 1) + 1):
                    gram = tuple(line[at + 1 - size : at + 1])
                    self.count[self.slot(gram)] += 1
                    if size > 1:
                        place = self.slot(gram[:-1])
                        self.mask[place] = self.mask.get(place, 0) | self.bit(gram[-1])
        counts = [n for (level, slot), n in self.count.items() if level == 1 and slot >= 0]
        self.total, self.novel = sum(counts), len(counts)

    def slot(self, gram: tuple[int, ...]) -> tuple[int, int]:
        if gram == (int(BEGIN),):
            return 1, -1
        x = gram[0]
        if len(gram) == 1:
            x = x * 0xBF58476D1CE4E5B9 & ALL
        for token in gram[1:]:
            x = (x * 0x9E3779B97F4A7C15 & ALL) ^ token
            x ^= x >> 30
            x = x * 0xBF58476D1CE4E5B9 & ALL
            x ^= x >> 27
            x = x * 0x94D049BB133111EB & ALL
        return len(gram), x >> (64 - self.bits)

    def bit(self, token: int) -> int:
        x = token * 0x94D049BB133111EB & ALL
        level, bit = x >> 55, (x >> 52) & 7
        return 1 << (bit + (0 if level >= 64 else 8 if level >= 8 else 16 if level >= 1 else 24))

    def cleaned(self, gram: tuple[int, ...]) -> int:
        """The count, capped by those of its parts."""
        if len(gram) == 1:
            return self.count[self.slot(gram)]
        if not self.valid(gram[:-1]) or not self.mask[self.slot(gram[:-1])] & self.bit(gram[-1]):
            return 0
        return min(self.count[self.slot(gram)], self.cleaned(gram[:-1]), self.cleaned(gram[1:]))

    def valid(self, gram: tuple[int, ...]) -> bool:
        seen = self.cleaned(gram) > 0 and self.slot(gram) in self.mask
        return seen and (len(gram) == 1 or self.valid(gram[1:]))

    def types(self, gram: tuple[int, ...]) -> float:
        mask = self.mask[self.slot(gram)]
        index = sum(9**k * (mask >> 8 * k & 255).bit_count() for k in range(4))
        return min(self.table[index], self.cleaned(gram))

    def probability(self, context: tuple[int, ...], token: int) -> float:
        p = (self.cleaned((token,)) + self.novel / (self.novel + 1)) / (self.total + self.novel)
        for size in range(1, min(self.order - 1, len(context)) + 1):
            before = context[len(context) - size :]
            if not self.valid(before):
                break
            kinds = self.types(before)
            p = (self.cleaned((*before, token)) + kinds * p) / (self.cleaned(before) + kinds)
        return p

    def log10(self, line: list[int]) -> float:
        line = [int(BEGIN), *line]
        return sum(math.log10(self.probability(tuple(line[:at]), line[at])) for at in range(1, len(line)))


def lines_of(text: str, words: bool = True) -> list[list[int]]:
    lines: list[list[int]] = [[]]
    for token in tokens_of(text, words):
        lines[-1].append(token)
        if token == int(END):
            lines.append([])
    return lines[:-1]


TEXT = st.text(st.sampled_from("abAB. \n,éΣß日1_"), max_size=60) | st.text(max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.booleans(), st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=3))
def test_equals_the_plain_model(order: int, words: bool, train: list[str], test: list[str]) -> None:
    """Also where n-grams share slots: with 4,096 of them, some do."""
    fold = NgramLM(order, table_bits=12, unit="words" if words else "bytes")
    model = fitted(fold, train)
    plain = Plain(order, 12, [line for text in train for line in lines_of(text, words)])
    found = model.score(batch(test + train))
    for i, text in enumerate(test + train):
        expected = sum(plain.log10(line) for line in lines_of(text, words))
        assert found["log10"][i] == pytest.approx(expected, rel=1e-12)


def test_equals_the_plain_model_with_many_collisions() -> None:
    rng = np.random.default_rng(3)
    train = [" ".join(f"w{n}" for n in rng.zipf(1.4, 40) % 500) for _ in range(60)]
    plain = Plain(4, 12, [line for text in train for line in lines_of(text)])
    model = fitted(NgramLM(4, table_bits=12), train)
    test = [" ".join(f"w{n}" for n in rng.zipf(1.3, 40) % 700) for _ in range(40)]
    expected = [sum(plain.log10(line) for line in lines_of(text)) for text in test]
    np.testing.assert_allclose(model.score(batch(test))["log10"], expected, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(TEXT)
def test_tokens_and_perplexity(text: str) -> None:
    words = [re.findall(r"\w+|[^\w\s]+", line) for line in text.lower().split("\n")]
    assert [len(line) for line in lines_of(text)] == [len(line) + 1 for line in words]
    found = fitted(NgramLM(table_bits=12), ["a b", text]).score(batch([text]))
    number = sum(len(line) + 1 for line in words)
    assert found["tokens"][0] == number
    assert found["perplexity"][0] == pytest.approx(10 ** (-found["log10"][0] / number))
    assert found["bits_per_character"][0] == pytest.approx(
        -found["log10"][0] * math.log2(10) / max(1, len(text)), rel=1e-12
    )


def test_long_gaps_and_long_words() -> None:
    """Line feeds and words that reach over the windows of the tokeniser and over the runs of this file."""
    text = "one" + "\n" * 10_001 + "x" * 9_000 + " two\n" + "a " * 5_000
    assert [len(line) for line in lines_of(text)] == [2] + [1] * 10_000 + [3, 5001]
    assert fitted(NgramLM(table_bits=12), [text]).score(batch([text]))["tokens"][0] == 2 + 10_000 + 3 + 5001


def conditional(model: LanguageModel, context: list[int], token: int) -> float:
    """P(token | begin of line, context) by the kernel itself."""
    fold, logs = model.fold, []
    for tokens in (context, [*context, token]):
        sums = np.array([1.0, 0.0])
        score_tokens(
            np.array(tokens, np.uint64), len(tokens), model.nodes[0], model.leaves[0], fold.order, fold.table_bits,
            FOLLOWERS, model.total[0], model.novel[0], np.zeros(fold.order, np.uint64),
            np.zeros((fold.order, 2)), np.zeros(fold.order, np.uint32), -1, sums,
        )  # fmt: skip
        logs.append(sums[1] + math.log10(sums[0]))
    return 10.0 ** (logs[1] - logs[0])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one(order: int) -> None:
    text = "the cat sat on the mat\nthe dog sat on the cat\n\na mat, a cat, the end\ncat cat cat"
    model = fitted(NgramLM(order, table_bits=20), [text])
    grams = [set() for _ in range(order)]
    for line in lines_of(text):
        line = [int(BEGIN), *line]
        for size in range(1, order + 1):
            grams[size - 1] |= {tuple(line[at : at + size]) for at in range(len(line) + 1 - size)}
    grams[0] -= {(int(BEGIN),)}
    occupied = [int((level > 0).sum()) for level in model.nodes[0, :, :-1, 0]]
    assert [*occupied, *([int((model.leaves > 0).sum())] if order > 1 else [])] == [len(g) for g in grams]
    vocabulary = sorted({token for (token,) in grams[0]})
    unknown = tokens_of("zebra")[0]
    sentences = ["", "the", "the cat", "on the", "cat cat", "zebra", "the zebra", "zebra the cat", "a mat ,", "mat dog"]
    for sentence in sentences:
        context = tokens_of(sentence)[:-1]
        total = sum(conditional(model, context, token) for token in [*vocabulary, unknown])
        assert total == pytest.approx(1.0, abs=1e-12), sentence
    if order > 1:
        cat = tokens_of("cat")[0]
        assert conditional(model, tokens_of("the")[:-1], cat) > conditional(model, tokens_of("on")[:-1], cat)


def test_probabilities_stay_at_most_one_with_collisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_lm, "FULLEST", 1.0)
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 300, 50))) for _ in range(400)]
    model = fitted(NgramLM(3, table_bits=12), texts)
    assert float((model.leaves > 0).mean()) > 0.9
    words = [tokens_of(str(n))[0] for n in range(330)]
    found = [conditional(model, [words[i], words[i + 1]], words[i + 2]) for i in range(320)]
    assert min(found) > 0 and max(found) <= 1 + 1e-12


def test_closed_forms() -> None:
    """T kinds seen once each: P = (1 + T / (T + 1)) / 2T for all; and one bigram by hand."""
    model = fitted(NgramLM(1, table_bits=16), ["one two three four"])
    found = model.score(batch(["four three two one", "five"]))
    assert found["perplexity"][0] == pytest.approx(2 * 5 * 6 / 11, rel=1e-14)
    assert found["log10"][1] == pytest.approx(math.log10(5 / 6 / 10) + math.log10(11 / 60), rel=1e-14)
    # "a b | a c": N = 6, T = 4, P(b) = (1 + 4/5) / 10; c(a) = 2, T(a) = 2 (two bits are set), P(b | a) = 0.34
    a, b, c = (tokens_of(word)[0] for word in "abc")
    model = fitted(NgramLM(2, table_bits=16), ["a b\na c"])
    assert Plain.bit(None, b) != Plain.bit(None, c)  # type: ignore[arg-type]
    assert conditional(model, [a], b) == pytest.approx((1 + 2 * 0.18) / 4, rel=1e-12)
    assert conditional(model, [a], a) == pytest.approx(2 * (2 + 0.8) / 10 / 4, rel=1e-12)


def test_a_fluent_text_is_less_perplexing_than_a_shuffled_one() -> None:
    rng = np.random.default_rng(1)
    nouns, verbs = [f"noun{i}" for i in range(60)], [f"verb{i}" for i in range(30)]
    lines = [f"the {rng.choice(nouns)} {rng.choice(verbs)} a {rng.choice(nouns)}" for _ in range(2000)]
    model = fitted(NgramLM(table_bits=18), lines[:1500])
    fluent = "\n".join(lines[1500:])
    words = fluent.replace("\n", " \n ").split(" ")
    shuffled = " ".join(rng.permutation(words))
    first, second = model.score(batch([fluent, shuffled]))["perplexity"]
    # The source's own perplexity over its six tokens a line; what 1,500 lines cannot teach costs up to a half more.
    entropy = (60 * 30 * 60) ** (1 / 6)
    assert entropy < first < 1.5 * entropy
    assert second > 5 * first


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.lists(TEXT, max_size=6), st.integers(0, 6))
def test_laws_of_a_fold(order: int, halves: bool, texts: list[str], cut: int) -> None:
    fold = NgramLM(order, table_bits=12, halves=halves)
    keys = list(range(100, 100 + len(texts)))
    whole = fold.lift(batch(texts, keys))
    left, right = batch(texts[:cut], keys[:cut]), batch(texts[cut:], keys[cut:])
    for state in (
        fold.merge(fold.lift(left), fold.lift(right)),
        fold.merge(fold.lift(right), fold.lift(left)),
        fold.update(fold.update(fold.empty(), left), right),
        fold.merge(fold.empty(), fold.lift(batch(texts, keys))),
        fold.merge(fold.lift(batch(texts, keys)), fold.empty()),
    ):
        assert all(np.array_equal(state[name], whole[name]) for name in whole)
    assert int(whole["nodes"][:, 0, :-1, 0].sum()) == sum(len(tokens_of(text)) for text in texts)


def test_halves_score_a_row_without_itself() -> None:
    fold = NgramLM(table_bits=14, halves=True)
    texts = [f"some words about number {i} and again {i * i}" for i in range(40)]
    keys = [int(x) for x in np.random.default_rng(0).integers(0, 2**63, 40)]
    everything = fold.finish(fold.lift(batch(texts, keys))).score(batch(texts, keys))["log10"]
    plain = fitted(NgramLM(table_bits=14), texts).score(batch(texts))["log10"]
    assert (everything < plain).all()  # a model that has seen the text finds it likelier
    for i in range(5):
        rest = fold.lift(batch(texts[:i] + texts[i + 1 :], keys[:i] + keys[i + 1 :]))
        assert fold.finish(rest).score(batch(texts, keys))["log10"][i] == everything[i]


def test_number_of_followers() -> None:
    table = FOLLOWERS
    rng = np.random.default_rng(5)
    for number, spread in ((1, 0.1), (2, 0.25), (8, 0.5), (50, 0.6), (400, 0.6), (3000, 0.7)):
        estimates = []
        for _ in range(200):
            hashes = rng.integers(0, 2**63, number).tolist()
            mask = 0
            for one in hashes:
                mask |= Plain.bit(None, one * 2 + 1)  # type: ignore[arg-type]
            estimates.append(table[sum(9**k * (mask >> 8 * k & 255).bit_count() for k in range(4))])
        assert np.mean(estimates) == pytest.approx(number, rel=0.2)
        assert np.std(estimates) < spread * number
    assert table[0] == 0 and (np.diff(table[:9]) > 0).all() and table.max() < 11_001


def test_counters_stop_and_are_refused() -> None:
    fold = NgramLM(2, table_bits=14)
    state = fold.lift(batch(["a b a b"]))
    half = {name: array.copy() for name, array in state.items()}
    half["leaves"][half["leaves"] > 0] = 2**31
    nearly = fold.merge(fold.merge(fold.empty(), half), {**half, "nodes": fold.empty()["nodes"]})
    assert nearly["leaves"].max() == 2**32 - 1
    assert fold.update(nearly, batch(["a b a b"]))["leaves"].max() == 2**32 - 1
    with pytest.raises(DataError, match="4 billion"):
        fold.finish(nearly)


def test_refusals() -> None:
    with pytest.raises(DataError, match="no text"):
        NgramLM(table_bits=12).finish(NgramLM(table_bits=12).empty())
    with pytest.raises(DataError, match="one of its two halves"):
        fitted(NgramLM(table_bits=12, halves=True), ["one text"])
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"% full.*table_bits \(now 12"):
        fitted(NgramLM(table_bits=12), [" ".join(map(str, rng.integers(0, 10**6, 20_000)))])
    for wrong in ({"order": 0}, {"order": 6}, {"table_bits": 25}, {"unit": "letters"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            NgramLM(**wrong)
