"""Gradients of a user's module against the same in double precision, by batches and one by one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.gradient.projection import Projection

torch = pytest.importorskip("torch")
from cuvee.gradient.module import ModuleGradients  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More would wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def net() -> Any:
    generator = torch.Generator().manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.LayerNorm(8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    with torch.no_grad():
        for one in module.parameters():
            one.copy_(torch.randn(one.shape, generator=generator) * 0.5)
    return module.eval()


def loss(call: Any, x: Any, y: Any) -> Any:
    return torch.nn.functional.cross_entropy(call(x), y)


X, Y = torch.randn(21, 6, generator=torch.Generator().manual_seed(1)), torch.arange(21) % 3


def exact(module: Any) -> np.ndarray:
    """One backward pass an example, in double precision."""
    double = copy.deepcopy(module).double()
    rows = []
    for x, y in zip(X, Y, strict=True):
        double.zero_grad()
        loss(double, x.double(), y).backward()
        rows.append(torch.cat([one.grad.flatten() for one in double.parameters() if one.grad is not None]).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("lanes", [1, 4, 64])
def test_against_double_precision(lanes: int) -> None:
    module = net()
    before = [one.clone() for one in module.parameters()]
    found = ModuleGradients(module, loss, lanes=lanes)
    gradients = found(X, Y)
    wanted = exact(module)
    assert found.size == gradients.shape[1] and gradients.dtype == np.float32
    assert gradients == pytest.approx(wanted, abs=2e-6 * float(np.abs(wanted).max()))
    assert found.looped == (lanes == 1)
    assert all(torch.equal(one, two) for one, two in zip(before, module.parameters(), strict=True))
    assert all(one.grad is None for one in module.parameters())


def test_the_reference_itself_by_finite_differences() -> None:
    module, step = net().double(), 1e-6
    wanted = exact(net())[5]
    flat = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
    for at in range(0, len(flat), 7):
        sides = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[at] += sign * step
            torch.nn.utils.vector_to_parameters(moved, module.parameters())
            sides.append(loss(module, X[5].double(), Y[5]).item())
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(wanted[at], abs=1e-8)


def test_one_by_one_gives_the_same_bits_in_any_company() -> None:
    found = ModuleGradients(net(), loss, lanes=1)
    order = np.random.default_rng(0).permutation(21)
    assert np.array_equal(found(X[order], Y[order]), found(X, Y)[order])


def test_what_cannot_be_batched_is_taken_one_by_one() -> None:
    def branching(call: Any, x: Any, y: Any) -> Any:
        return loss(call, x, y) * (2.0 if x.sum().item() > 0 else 1.0)

    found = ModuleGradients(net(), branching)
    scale = np.where(X.sum(1).numpy() > 0, 2.0, 1.0)[:, None]
    wanted = exact(net()) * scale
    assert found(X, Y) == pytest.approx(wanted, abs=4e-6 * float(np.abs(wanted).max()))
    assert found.looped


def test_frozen_parameters_are_left_out() -> None:
    module = net()
    whole = ModuleGradients(module, loss)(X, Y)
    for one in module[0].parameters():
        one.requires_grad_(False)
    found = ModuleGradients(module, loss)
    assert found.names[0] == "1.weight"
    assert found(X, Y) == pytest.approx(whole[:, 56:], abs=1e-6)


def test_projected_whatever_the_lanes() -> None:
    projection = Projection(32, seed=5)
    wanted = projection.project(ModuleGradients(net(), loss, lanes=1)(X, Y))
    assert np.array_equal(ModuleGradients(net(), loss, lanes=1).project(projection, X, Y), wanted)
    assert ModuleGradients(net(), loss, lanes=5).project(projection, X, Y) == pytest.approx(wanted, abs=1e-5)


def test_refused() -> None:
    with pytest.raises(UsageError, match=r"module\.eval\(\)"):
        ModuleGradients(net().train(), loss)
    with pytest.raises(UsageError, match="No parameter"):
        ModuleGradients(net().requires_grad_(False), loss)
    with pytest.raises(DataError, match="one row per example"):
        ModuleGradients(net(), loss)(X, Y[:3])
    wrong = X.clone()
    wrong[7, 2] = float("nan")
    with pytest.raises(DataError, match="example 8"):
        ModuleGradients(net(), loss)(wrong, Y)
