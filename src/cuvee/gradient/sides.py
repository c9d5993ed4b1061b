"""What the curvature of a probe's linear layers is made of: every layer's inputs, and the slopes by its outputs.

Slopes are of the loss summed over a text's tokens, on labels that are drawn from the model's own predictions (so that
the mean of their products is the Fisher matrix, which for softmax is Gauss and Newton's) or on those given (the
"empirical Fisher"). A label is a function of (seed, the row's key, the token's place).

Layers of the text probe: the projections of queries, keys and values together, of the attention's outputs, and the two
of the MLP, in every block, without biases. Embeddings, which are the output layer as well, and norms are no such
layers. Of labelled probes all parameters are covered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch
from ..engine.draw import uniform
from .curvature import Floats, Layer, Sides
from .labelled import LabelledProbe, class_of, parts_of, slopes
from .text import TextProbe, one_thread

OUTPUT = "embedding"


def drawn(p: Array, u: Array) -> npt.NDArray[np.int64]:
    """A label for every row of probabilities (n, classes), by uniform numbers (n,)."""
    total = np.cumsum(p, axis=1)
    found = (total < u[:, None] * total[:, -1:]).sum(axis=1)
    return np.minimum(found, p.shape[1] - 1).astype(np.int64)


def labelled_layers(probe: LabelledProbe, width: int) -> list[Layer]:
    """Layers of a classifier of vectors of this width; biases are the last row of each."""
    classes, first = len(probe.classes) + 1, (width + 1) * probe.hidden
    last = Layer(first, (probe.hidden or width) + 1, classes)
    return [Layer(0, width + 1, probe.hidden), last] if probe.hidden else [last]


def labelled_sides(
    probe: LabelledProbe, vectors: Array, label: Array, key: Array, seed: int, sampled: bool
) -> Iterator[list[Sides]]:
    """Of every row (vectors (n, width), hashes of labels, keys), at every checkpoint; [] for a row without vector."""
    shape = (vectors.shape[1], len(probe.classes) + 1, probe.hidden)
    models = [parts_of(one.astype(np.float64), *shape) for one in probe.parameters]
    given, chance = class_of(label, probe.classes), uniform(seed, "labels of the curvature", key)
    for i, x in enumerate(vectors.astype(np.float64)):
        yield [_classifier(one, x, given[i : i + 1], chance[i : i + 1], sampled) for one in models] if x.any() else []


def _classifier(model: tuple[Floats, ...], x: Floats, label: Array, chance: Array, sampled: bool) -> Sides:
    u, a, w, b = model
    z = np.einsum("d,dh->h", x, u) + a
    h = np.maximum(z, 0.0) if u.size else x
    logits = (np.einsum("h,hk->k", h, w) + b)[None]
    if sampled:
        label = drawn(np.exp(logits - logits.max()), chance)
    slope, _ = slopes(logits, label, "loss")
    last = (np.append(h, 1.0)[None], slope)
    if not u.size:
        return [last]
    inner = np.einsum("nk,hk->nh", slope, w) * (z > 0)
    return [(np.append(x, 1.0)[None], inner), last]


def text_layers(probe: TextProbe) -> list[Layer]:
    """The linear layers of the probe's model."""
    found, at = [], 0
    for name, part in probe.models[0].parts.items():
        if part.dim() == 2 and name != OUTPUT:
            found.append(Layer(at, *part.shape))
        at += part.numel()
    return found


def text_sides(probe: TextProbe, batch: Batch, seed: int, sampled: bool) -> Iterator[list[Sides]]:
    """Of every text, at every checkpoint; [] for an empty text."""
    for i in range(len(batch)):
        windows = probe.windows(batch.data[batch.offsets[i] : batch.offsets[i + 1]])
        if windows is None:
            yield []
            continue
        places = np.arange(windows[0].size, dtype=np.uint64)
        chance = uniform(seed, f"labels of the curvature {batch.key[i]}", places) if sampled else None
        yield [text_side(model, *windows, chance) for model in probe.models]


def text_side(model: Any, inputs: Array, targets: Array, chance: Array | None) -> Sides:
    """Of one text, (windows, length) as the probe reads it, under one model; ``chance``: what labels are drawn by."""
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    seen: dict[str, tuple[Any, Any]] = {}
    names = {id(part): name for name, part in model.parts.items()}

    class Recording(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            if func is functional.linear:
                seen[names[id(args[1])]] = (args[0], found)
            return found

    with one_thread():
        device = model.flat.device
        given = torch.from_numpy(targets).to(device)
        with Recording():
            model.losses(torch.from_numpy(inputs).to(device), given, None)
        known = given >= 0
        logits = seen.pop(OUTPUT)[1][known].float()
        label = given[known]
        if chance is not None:
            p = torch.softmax(logits.detach().double(), -1).cpu().numpy()
            label = torch.from_numpy(drawn(p, chance[known.cpu().numpy().ravel()])).to(device)
        loss = functional.cross_entropy(logits, label, reduction="sum")
        # tokens behind the text's end have slopes of 0: nothing before them sees them
        order = [name for name, part in model.parts.items() if name in seen and part.dim() == 2]
        found = torch.autograd.grad(loss, [seen[name][1] for name in order])
        pairs = zip(found, (seen[name][0] for name in order), strict=True)
        return [(_double(slope[known]), _double(entry[known])) for slope, entry in pairs]


def _double(x: Any) -> Floats:
    found: Floats = np.ascontiguousarray(x.detach().double().cpu().numpy())
    return found
