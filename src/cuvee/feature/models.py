"""Vectors of texts from a model in a local folder: sentence encoders, static tables, ONNX, causal language models.

What a folder holds is told by its files:

    model2vec   a config.json of its form: the package model2vec
    ONNX        model.onnx (or onnx/model.onnx) and a tokenizer.json: onnxruntime and tokenizers
    encoder     Hugging Face's format, with or without sentence-transformers' modules.json: transformers and torch
    causal      the same of a causal language model: RDS+'s vector, the mean of the last layer's hidden states weighted
                by position, 1 ... L (Ivison et al., 2025)

Encoders are pooled as ``1_Pooling`` says, else by the mean over tokens. Texts are cut after as many tokens as the
folder names, at most 512 (causal models: 2,048); no prompt is put before them. Nothing is downloaded, nothing is
unpickled and no code of the folder is run: weights must be safetensors or ONNX.

Texts are passed one at a time and with one thread each, since padding and threads change the last bits; so a vector
depends on its text alone. A GPU is taken if there is one. The vectors are kept in the cache, under a digest of every
file of the folder.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Map
from ..errors import CuveeError, DataError, MissingExtraError, UsageError

Kind = Literal["model2vec", "onnx", "encoder", "causal"]
NEEDED: dict[Kind, tuple[str, ...]] = {
    "model2vec": ("model2vec",),
    "onnx": ("onnxruntime", "tokenizers"),
    "encoder": ("transformers", "torch"),
    "causal": ("transformers", "torch"),
}
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_weightedmean_tokens": "weighted",
    "pooling_mode_lasttoken": "last",
}
MODULES = ("Transformer", "Pooling", "Normalize")
BYTES_A_TOKEN = 64
"""Texts are cut after so many bytes for each token that may be read, before they are cut into tokens."""
_LOCK = threading.Lock()


class MissingModelExtraError(MissingExtraError):
    """A package that runs models is not installed."""

    def __init__(self, package: str) -> None:
        message = f"This model needs the package '{package}', which is not installed."
        CuveeError.__init__(self, f"{message} Install what models need with: pip install 'cuvee[models]'.")


@dataclass(frozen=True)
class ModelVectors(Map):
    """Block: "embedding", float32 (rows, width); zeros for an empty text. Made by :func:`open_model`.

    ``path`` is not part of what it is: the content's ``digest`` is.
    """

    path: str = field(compare=False)
    digest: str
    kind: Kind
    pooling: str
    most_tokens: int

    rows_at_once: ClassVar[int | None] = 64

    def apply(self, batch: Batch) -> Block:
        with _LOCK:
            embed = _loaded(self)
        texts = [self.beginning(batch, i) for i in range(len(batch))]
        found = [embed(text) if text else None for text in texts]
        width = next((len(one) for one in found if one is not None), None)
        width = len(embed("a")) if width is None else width
        vectors = np.zeros((len(batch), width), np.float32)
        for i, one in enumerate(found):
            if one is not None:
                vectors[i] = one
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise DataError(
                f"The model in {self.path} gives row {int(batch.row[bad[0]]) + 1} a vector that is not finite."
            )
        return {"embedding": vectors}

    def beginning(self, batch: Batch, i: int) -> str:
        """As much of text i as the model may read: tokenizers would go through all of it."""
        first = int(batch.offsets[i])
        last = min(int(batch.offsets[i + 1]), first + BYTES_A_TOKEN * self.most_tokens)
        return batch.data[first:last].tobytes().decode("utf-8", "ignore")


def open_model(path: str | Path) -> ModelVectors:
    """Look at a model's folder; no weights are loaded yet.

    Raises:
        UsageError: it is no folder of a model that can be run here.
        MissingModelExtraError: a package is missing.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"--model takes a model's folder on this machine, and {path} is none. Nothing is downloaded.")
    config = _json(folder / "config.json")
    pooling, most = "mean", 512
    if config.get("model_type") == "model2vec" or "embedding_dtype" in config:
        kind: Kind = "model2vec"
    elif _onnx(folder) is not None:
        kind = "onnx"
    elif config.get("architectures") or config.get("model_type"):
        names = " ".join(config.get("architectures") or ())
        kind = "causal" if "CausalLM" in names or "LMHead" in names else "encoder"
    else:
        if any(one.suffix in PICKLES for one in folder.iterdir()):
            _refuse_pickles(folder)
        raise UsageError(
            f"{path} holds no model that is known: model2vec's, ONNX with its tokenizer.json, or Hugging Face's format."
        )
    if kind != "onnx":
        _refuse_pickles(folder)
    if kind == "causal":
        pooling, most = "weighted", 2048
    elif kind != "model2vec":
        pooling = _pooling(folder)
    for package in NEEDED[kind]:
        try:
            importlib.import_module(package)
        except ImportError:
            raise MissingModelExtraError(package) from None
    return ModelVectors(str(folder), _folder_digest(folder), kind, pooling, min([most, *_limits(folder, config)]))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return found if isinstance(found, dict) else {"list": found}


def _onnx(folder: Path) -> Path | None:
    places = (folder / "model.onnx", folder / "onnx" / "model.onnx")
    found = next((place for place in places if place.is_file()), None)
    return found if found is not None and (folder / "tokenizer.json").is_file() else None


def _refuse_pickles(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(one.name for one in folder.iterdir() if one.suffix in PICKLES)
        what = f"only {pickled[0]}, a pickle, which may run any code" if pickled else "none"
        raise UsageError(f"{folder} must hold its weights as safetensors, and has {what}. Convert the model first.")


def _pooling(folder: Path) -> str:
    """How token vectors become one, by sentence-transformers' files."""
    for module in _json(folder / "modules.json").get("list", ()):
        name = str(module.get("type", "")).rsplit(".", 1)[-1]
        if name not in MODULES:
            raise UsageError(f"{folder} has a module {name}, which is not known; known are {', '.join(MODULES)}.")
    config = _json(folder / "1_Pooling" / "config.json")
    found = [name for key, name in POOLING.items() if config.get(key)] or [config.get("pooling_mode", "mean")]
    if len(found) > 1 or found[0] not in POOLING.values():
        raise UsageError(
            f"{folder} is pooled by {' and '.join(map(str, found))}; one of {', '.join(POOLING.values())}."
        )
    return str(found[0])


def _limits(folder: Path, config: dict[str, Any]) -> list[int]:
    """How many tokens the folder's files allow."""
    named = [
        _json(folder / "sentence_bert_config.json").get("max_seq_length"),
        _json(folder / "tokenizer_config.json").get("model_max_length"),
        config.get("max_position_embeddings"),
        config.get("n_positions"),
    ]
    return [int(one) for one in named if isinstance(one, int | float) and one > 0]


def _folder_digest(folder: Path) -> str:
    """Of every file's name and content, hidden ones left out."""
    total = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            with path.open("rb") as opened:
                total.update(f"{name.as_posix()}\0{hashlib.file_digest(opened, 'blake2b').hexdigest()}\0".encode())
    return total.hexdigest()


def pooled(hidden: Array, pooling: str) -> npt.NDArray[np.float32]:
    """One vector from a text's token vectors (length, d), float32 (d,)."""
    rows = np.asarray(hidden, np.float64)
    if pooling == "weighted":
        weight = np.arange(1, len(rows) + 1, dtype=np.float64)
        rows = (rows * (weight / weight.sum())[:, None]).sum(axis=0)
    elif pooling == "mean":
        rows = rows.mean(axis=0)
    elif pooling == "max":
        rows = rows.max(axis=0)
    else:
        rows = rows[0 if pooling == "cls" else -1]
    return rows.astype(np.float32)


@lru_cache(maxsize=2)
def _loaded(made: ModelVectors) -> Callable[[str], Array]:
    """The model, once a process: a function from a text to its vector."""
    try:
        return {"model2vec": _model2vec, "onnx": _onnx_session}.get(made.kind, _transformer)(made)
    except CuveeError:
        raise
    except Exception as error:  # whatever a library says of files that it cannot use
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"The model in {made.path} cannot be loaded ({type(error).__name__}: {reason}). A file of it may be "
            "damaged or missing: copy it anew."
        ) from error


def _model2vec(made: ModelVectors) -> Callable[[str], Array]:
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(made.path)

    def embed(text: str) -> Array:
        found: Array = model.encode([text], max_length=made.most_tokens, use_multiprocessing=False)[0]
        return found

    return embed


def _onnx_session(made: ModelVectors) -> Callable[[str], Array]:
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    known = onnxruntime.get_available_providers()
    providers = [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in known]
    session = onnxruntime.InferenceSession(str(_onnx(Path(made.path))), options, providers=providers)
    tokenizer = Tokenizer.from_file(str(Path(made.path) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(made.most_tokens)
    wanted = {one.name for one in session.get_inputs()}

    def embed(text: str) -> Array:
        coded = tokenizer.encode(text)
        given = {"input_ids": coded.ids, "attention_mask": coded.attention_mask, "token_type_ids": coded.type_ids}
        feed = {name: np.array([values], np.int64) for name, values in given.items() if name in wanted}
        outputs = session.run(None, feed)
        flat = next((one for one in outputs if one.ndim == 2), None)
        return np.asarray(flat[0] if flat is not None else pooled(outputs[0][0], made.pooling), np.float32)

    return embed


def _transformer(made: ModelVectors) -> Callable[[str], Array]:
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    from ..gradient.text import one_thread

    told: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(made.path, **told)
    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # of loading, which takes a moment
    try:
        model = AutoModel.from_pretrained(made.path, use_safetensors=True, dtype=torch.float32, **told).eval()
    finally:
        if shown:
            bars.enable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)

    def embed(text: str) -> Array:
        with one_thread(), torch.inference_mode():
            coded = tokenizer(text, truncation=True, max_length=made.most_tokens, return_tensors="pt").to(device)
            if not coded["input_ids"].shape[1]:  # a tokenizer without special tokens that knows nothing of the text
                return np.zeros(model.config.hidden_size, np.float32)
            return pooled(model(**coded).last_hidden_state[0].float().cpu().numpy(), made.pooling)

    return embed
