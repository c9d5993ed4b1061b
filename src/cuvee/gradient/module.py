"""Gradients of single examples under any PyTorch module, for scores or as vectors of one's own.

    import torch
    from cuvee.gradient.module import ModuleGradients
    from cuvee.gradient.projection import Projection

    model = torch.nn.Linear(4, 3).eval()

    def loss(call, x, y):
        return torch.nn.functional.cross_entropy(call(x), y)

    gradients = ModuleGradients(model, loss)
    vectors = gradients.project(Projection(64), torch.randn(10, 4), torch.arange(10) % 3)

``loss`` takes ``call``, the module with the parameters that are derived by, and one example's tensors without the axis
of examples, and gives one number. Parameters that need no gradient are left out (of a model with LoRA, all but LoRA's).

Gradients are taken by ``torch.func``: ``lanes`` examples at once, where the module's operations can be batched, else
one by one. At most ``lanes`` gradients are held, and 16 while they are projected. With lanes=1 an example's bits depend
on that example alone; with more, its last bits may depend on its place. The module is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, UsageError
from .projection import Projection
from .text import need_torch

PROJECTED_AT_ONCE = 16


class ModuleGradients:
    """See the module's docstring.

    Attributes:
        names: the parameters that are derived by, in order.
        size: how many numbers a gradient has.
        looped: whether examples are taken one by one, because they cannot be batched (known after the first).
    """

    def __init__(self, module: Any, loss: Callable[..., Any], lanes: int = 16) -> None:
        """``module`` in evaluation mode, on its device; examples are expected there as well.

        Raises:
            UsageError: the module is in training mode, or has no parameter that needs a gradient.
            MissingTorchError: PyTorch is not installed.
        """
        need_torch("Taking gradients of a module")
        if module.training:
            raise UsageError("The module is in training mode, where chance decides losses: call module.eval() first.")
        if lanes < 1:
            raise UsageError(f"lanes must be at least 1, not {lanes}.")
        self.module, self.loss, self.lanes, self.looped = module, loss, lanes, lanes == 1
        self.names = tuple(name for name, one in module.named_parameters() if one.requires_grad)
        if not self.names:
            raise UsageError("No parameter of the module needs a gradient.")
        known = dict(module.named_parameters())
        self.size = sum(known[name].numel() for name in self.names)

    def __call__(self, *examples: Any) -> npt.NDArray[np.float32]:
        """Gradients, float32 (n, size), of examples: tensors whose first axis, of length n, counts the examples.

        All of them are held; :meth:`each` and :meth:`project` hold a few.
        """
        parts = list(self.each(*examples))
        return np.concatenate(parts) if parts else np.zeros((0, self.size), np.float32)

    def each(self, *examples: Any) -> Iterator[npt.NDArray[np.float32]]:
        """The same, at most ``lanes`` rows at a time.

        Raises:
            DataError: examples differ in number, or a gradient is not finite.
        """
        counts = {len(one) for one in examples}
        if len(counts) != 1:
            raise DataError(f"Every tensor of the examples must have one row per example; these have {sorted(counts)}.")
        for low in range(0, counts.pop(), self.lanes):
            found = self._lanes([one[low : low + self.lanes] for one in examples])
            bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
            if len(bad):
                raise DataError(f"The gradient of example {low + int(bad[0]) + 1} is not finite.")
            yield found

    def project(self, projection: Projection, *examples: Any) -> npt.NDArray[np.float64]:
        """Projected gradients, float64 (n, dimensions)."""
        found, held = [], np.zeros((0, self.size), np.float32)
        for part in self.each(*examples):
            held = np.concatenate([held, part])
            while len(held) >= PROJECTED_AT_ONCE:
                found.append(projection.project(held[:PROJECTED_AT_ONCE]))
                held = held[PROJECTED_AT_ONCE:]
        found.append(projection.project(held))
        return np.concatenate(found)

    def _lanes(self, examples: list[Any]) -> npt.NDArray[np.float32]:
        from torch.func import functional_call, grad, vmap

        known = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        fixed = {name: one.detach() for name, one in known.items() if name not in self.names}

        def output(parameters: Any, *one: Any) -> Any:
            return self.loss(lambda *given: functional_call(self.module, {**fixed, **parameters}, given), *one)

        derived = {name: known[name].detach() for name in self.names}
        taken = grad(output)
        if not self.looped:
            try:
                found = vmap(taken, in_dims=(None, *[0] * len(examples)))(derived, *examples)
                return self._flat(found, len(examples[0]))
            except (RuntimeError, NotImplementedError, ValueError):
                self.looped = True  # what is wrong with the examples themselves shows below as well
        rows = [taken(derived, *one) for one in zip(*examples, strict=True)]
        return np.concatenate([self._flat(row, 1) for row in rows])

    def _flat(self, found: Any, rows: int) -> npt.NDArray[np.float32]:
        parts = [found[name].detach().reshape(rows, -1).float().cpu().numpy() for name in self.names]
        return np.concatenate(parts, axis=1)
