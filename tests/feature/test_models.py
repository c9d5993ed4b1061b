"""Vectors from models in local folders: what each kind gives, alone and in company, cached by content, and refusals.

The models are made here, tiny and random; the ONNX one is written byte by byte.
"""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.engine import manifest
from cuvee.engine.plan import describe
from cuvee.errors import DataError, MissingExtraError, UsageError
from cuvee.examples import as_batch
from cuvee.feature.models import ModelVectors, open_model, pooled
from cuvee.methods.score import rds_plus

tokenizers = pytest.importorskip("tokenizers")
WORDS = ["the", "sea", "of", "rows", "select", "from", "join", "where", "index", "whale", "captain", "def", "none"]
TEXTS = [b"the sea of rows", b"", b"select from join where index " * 8, b"whale", "unknown words é".encode()]


def tokenizer() -> Any:
    vocabulary = {word: at for at, word in enumerate(["[UNK]", "[PAD]", *WORDS])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


def hugging_face(folder: Path, model: Any) -> Path:
    transformers = importlib.import_module("transformers")
    model.save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="[UNK]", pad_token="[PAD]")
    fast.model_max_length = 16
    fast.save_pretrained(folder)
    return folder


def encoder(folder: Path) -> Path:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(1)
    sizes = {"vocab_size": 15, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, intermediate_size=16, max_position_embeddings=32)
    return hugging_face(folder, transformers.BertModel(config))


def causal(folder: Path) -> Path:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(2)
    sizes = {"vocab_size": 15, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**sizes, intermediate_size=16, max_position_embeddings=32)
    return hugging_face(folder, transformers.LlamaForCausalLM(config))


TABLE = np.random.default_rng(5).normal(size=(15, 8)).astype(np.float32)


def model2vec(folder: Path) -> Path:
    package = pytest.importorskip("model2vec")
    package.StaticModel(TABLE, tokenizer(), normalize=False).save_pretrained(folder)
    return folder


def message(number: int, content: bytes | str | int) -> bytes:
    """One field of a protocol buffer: a whole number, or bytes."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def value_info(name: str, kind: int, axes: tuple[str | int, ...]) -> bytes:
    shape = b"".join(message(1, message(1, axis) if isinstance(axis, int) else message(2, axis)) for axis in axes)
    return message(1, name) + message(2, message(1, message(1, kind) + message(2, shape)))


def onnx(folder: Path) -> Path:
    """Token vectors looked up in a table: Gather(table, input_ids)."""
    pytest.importorskip("onnxruntime")
    folder.mkdir(exist_ok=True)
    raw = struct.pack(f"<{TABLE.size}f", *TABLE.ravel().tolist())
    tensor = message(1, 15) + message(1, 8) + message(2, 1) + message(8, "table") + message(9, raw)
    node = message(1, "table") + message(1, "input_ids") + message(2, "last_hidden_state") + message(4, "Gather")
    graph = message(1, node) + message(2, "g") + message(5, tensor)
    graph += message(11, value_info("input_ids", 7, ("b", "t")))
    graph += message(12, value_info("last_hidden_state", 1, ("b", "t", 8)))
    content = message(1, 8) + message(7, graph) + message(8, message(1, "") + message(2, 13))
    (folder / "model.onnx").write_bytes(content)
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 16}')
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "model2vec": model2vec,
    "onnx": onnx,
    "encoder": encoder,
    "causal": causal,
}


def vectors(folder: Path, texts: list[bytes]) -> np.ndarray:
    found: np.ndarray = open_model(folder).apply(as_batch(texts))["embedding"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_s_vector_is_its_own(kind: str, tmp_path: Path) -> None:
    made = open_model(KINDS[kind](tmp_path / kind))
    assert made.kind == kind
    whole = made.apply(as_batch(TEXTS))["embedding"]
    assert whole.shape == (5, 8) and whole.dtype == np.float32
    assert not whole[1].any() and whole[0].any() and not np.array_equal(whole[0], whole[2])
    for at, text in enumerate(TEXTS):
        assert np.array_equal(made.apply(as_batch([text]))["embedding"][0], whole[at])
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(one["embedding"], whole) for one in pool.map(made.apply, [as_batch(TEXTS)] * 8))
    assert made.apply(as_batch([]))["embedding"].shape == (0, 8)


def test_tables_are_averaged(tmp_path: Path) -> None:
    """Of the known words' rows (model2vec leaves unknown ones out, this ONNX model does not)."""
    ids = [2 + WORDS.index(word) for word in ["the", "sea", "of", "rows"]]
    for kind in ("onnx", "model2vec"):
        found = vectors(KINDS[kind](tmp_path / kind), TEXTS)
        assert found[0] == pytest.approx(TABLE[ids].mean(axis=0), abs=1e-6)
    assert vectors(tmp_path / "onnx", TEXTS)[4] == pytest.approx(TABLE[0], abs=1e-6)
    assert vectors(tmp_path / "onnx", TEXTS)[2] == pytest.approx(
        vectors(tmp_path / "onnx", [b" ".join(TEXTS[2].split()[:16])])[0]
    )  # cut after 16 tokens


def test_of_a_huge_text_only_the_beginning_is_read(tmp_path: Path) -> None:
    """Cut between characters, and where it cannot matter as long as tokens are not monstrous."""
    made = open_model(onnx(tmp_path / "onnx"))
    assert made.most_tokens == 16
    huge = b"sea rows " * 8 + "\u4e2d".encode() * 1_000_000
    assert len(made.beginning(as_batch([b"the", huge]), 1).encode()) <= 16 * 64
    found = made.apply(as_batch([huge]))["embedding"]
    assert np.array_equal(found, made.apply(as_batch([b"sea rows " * 8]))["embedding"])


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_hidden_states_of_transformers(kind: str, tmp_path: Path) -> None:
    """The mean over tokens, or RDS+'s mean weighted by position, of the model's last hidden states."""
    folder = KINDS[kind](tmp_path / kind)
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    model, words = transformers.AutoModel.from_pretrained(folder).eval(), tokenizer()
    found = vectors(folder, TEXTS)
    for at in (0, 2, 3):
        ids = torch.tensor([words.encode(TEXTS[at].decode()).ids[:16]])
        with torch.no_grad():
            hidden = model(ids).last_hidden_state[0].double().numpy()
        wanted = hidden.mean(axis=0) if kind == "encoder" else rds_plus.pooled(hidden)
        mine = found[at] if kind == "encoder" else found[at] / np.linalg.norm(found[at])
        assert mine == pytest.approx(wanted, abs=1e-5)


def test_pooling_as_the_folder_says(tmp_path: Path) -> None:
    hidden = np.arange(12.0).reshape(4, 3)
    assert pooled(hidden, "mean") == pytest.approx([4.5, 5.5, 6.5])
    assert pooled(hidden, "cls") == pytest.approx([0, 1, 2])
    assert pooled(hidden, "last") == pytest.approx([9, 10, 11])
    assert pooled(hidden, "max") == pytest.approx([9, 10, 11])
    assert pooled(hidden, "weighted") == pytest.approx([6, 7, 8])
    folder = encoder(tmp_path / "encoder")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert open_model(folder).pooling == "cls"
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    assert open_model(folder).most_tokens == 5
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(UsageError, match="module Dense"):
        open_model(folder)
    (folder / "modules.json").unlink()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}'
    )
    with pytest.raises(UsageError, match="cls and max"):
        open_model(folder)


def test_the_content_is_the_key_and_not_the_place(tmp_path: Path) -> None:
    one, two = onnx(tmp_path / "one"), onnx(tmp_path / "two")
    first = open_model(one)
    assert describe(first) == describe(open_model(two))
    (two / "tokenizer_config.json").write_text('{"model_max_length": 15}')
    assert describe(open_model(two)) != describe(first)
    assert describe(replace(first, digest="0")) != describe(first)


@pytest.fixture
def pools(tmp_path: Path, demo_table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 64)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    random = np.random.default_rng(0)
    rows = [{"id": str(i), "text": " ".join(random.choice(WORDS[: 7 if i % 2 else None], 12))} for i in range(200)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    (tmp_path / "parts").mkdir()
    for name, part in (("a", rows[:70]), ("b", rows[70:])):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "parts" / f"{name}.parquet", row_group_size=30)
    near = [{"text": " ".join(random.choice(WORDS[7:], 12))} for _ in range(5)]
    (tmp_path / "target.jsonl").write_text("".join(json.dumps(row) + "\n" for row in near))
    return tmp_path / "pool.jsonl", tmp_path / "parts", tmp_path / "target.jsonl"


def test_selecting_by_a_model_s_vectors(
    pools: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the same vectors as a column; read once a row; kept for the next run; another model is another key."""
    folder, seen, plain = onnx(tmp_path / "model"), list[int](), ModelVectors.apply

    def counted(self: ModelVectors, batch: Any) -> Any:
        seen.append(len(batch))
        return plain(self, batch)

    monkeypatch.setattr(ModelVectors, "apply", counted)

    def run(pool: Path, name: str, target: Path = pools[2], **reading: Any) -> Any:
        return cuvee.select(
            pool,
            target=target,
            method="rds_plus",
            rows=30,
            output=tmp_path / name,
            cache=tmp_path / "cache",
            reading=cuvee.Reading(skip_bad=True, **reading),
        )

    found = run(pools[0], "one", model=str(folder))
    assert sum(seen) == 205
    assert found.summary["embedding_model"] == [str(folder), open_model(folder).digest]
    assert found.summary["method"]["notes"]["width"] == 8
    assert run(pools[0], "again", model=str(folder)).digest == found.digest and sum(seen) == 205
    assert run(pools[1], "cut", model=str(folder)).digest == found.digest
    made = {}
    for name, path in (("pool", pools[1]), ("target", pools[2])):
        table = (
            pq.read_table(path)
            if name == "pool"
            else pa.Table.from_pylist(list(map(json.loads, path.read_text().splitlines())))
        )
        column = plain(open_model(folder), as_batch([one.encode() for one in table["text"].to_pylist()]))["embedding"]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), 8)
        made[name] = tmp_path / f"{name}.parquet"
        pq.write_table(table.append_column("vector", vectors), made[name])
    given = run(made["pool"], "given", made["target"], embedding="vector")
    assert given.digest == found.digest
    without = run(pools[1], "static")
    assert without.digest != found.digest and without.summary["method"]["notes"]["width"] == 256
    assert "embedding_model" not in without.summary
    TABLE[3] += 1.0
    try:
        onnx(tmp_path / "other model")
    finally:
        TABLE[3] -= 1.0
    other = run(pools[1], "other", model=str(tmp_path / "other model"))
    assert other.digest != found.digest


def test_nothing_is_unpickled_downloaded_or_run(tmp_path: Path) -> None:
    folder = encoder(tmp_path / "encoder")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    vectors(folder, TEXTS)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"safetensors.*pytorch_model\.bin, a pickle"):
        open_model(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(UsageError, match="has none"):
        open_model(folder)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cannot be loaded"):
        vectors(folder, TEXTS)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(UsageError, match=r"safetensors.*pytorch_model\.bin, a pickle"):
        open_model(bare)
    broken = encoder(tmp_path / "broken")
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"cannot be loaded \(\w+: .*damaged or missing"):
        vectors(broken, TEXTS)
    strange = encoder(tmp_path / "strange")
    config = json.loads((strange / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoModel": "code.Strange", "AutoConfig": "code.Config"}}
    (strange / "config.json").write_text(json.dumps(config))
    (strange / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError, match="cannot be loaded"):
        vectors(strange, TEXTS)
    assert not (tmp_path / "ran").exists()


def test_refused(pools: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(method: str, **reading: Any) -> Any:
        given = cuvee.Reading(skip_bad=True, **reading)
        return cuvee.select(pools[0], target=pools[2], method=method, rows=5, output=tmp_path / "out", reading=given)

    folder = onnx(tmp_path / "model")
    for method, reading, said in [
        ("rds_plus", {"model": "sentence-transformers/all-MiniLM-L6-v2"}, "Nothing is downloaded"),
        ("rds_plus", {"model": str(tmp_path)}, "holds no model"),
        ("dsir", {"model": str(folder)}, "'dsir' uses no embeddings"),
        ("random", {"model": str(folder)}, "'random' uses no embeddings"),
        ("rds_plus", {"model": str(folder), "embedding": "vector"}, "either --model"),
    ]:
        with pytest.raises(UsageError, match=said):
            run(method, **reading)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        run("rds_plus", model=str(tmp_path / "broken"))
    plain = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"'onnxruntime'.*pip install 'cuvee\[models\]'"):
        run("rds_plus", model=str(folder))
    assert not (tmp_path / "out").exists()
