"""The tree of merges depends on chunk numbers alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuvee.core import Batch, Fold, State
from cuvee.engine.tree import Tree, nodes_of


class Trace(Fold):
    """Records how it was merged."""

    def empty(self) -> State:
        return {"trace": np.array("")}

    def lift(self, batch: Batch) -> State:
        raise AssertionError

    def merge(self, left: State, right: State) -> State:
        return {"trace": np.array(f"({left['trace']}{right['trace']})")}


def leaf(chunk: int) -> State:
    return {"trace": np.array(f"{chunk},")}


@given(st.integers(1, 40), st.randoms(use_true_random=False), st.integers(0, 3))
def test_any_order_and_grouping_gives_one_shape(chunks: int, shuffle: random.Random, level: int) -> None:
    straight = Tree(Trace().merge, chunks)
    for chunk in range(chunks):
        straight.add(0, chunk, leaf(chunk))
    # workers first merge runs of their own, as spans do, then the nodes arrive in any order
    size = 1 << level
    nodes = []
    for first in range(0, chunks, size):
        local = Tree(Trace().merge, chunks)
        order = list(range(first, min(first + size, chunks)))
        shuffle.shuffle(order)
        for chunk in order:
            local.add(0, chunk, leaf(chunk))
        nodes += [(at, index, state) for (at, index), state in local.nodes.items()]
    shuffle.shuffle(nodes)
    mixed = Tree(Trace().merge, chunks)
    for node in nodes:
        mixed.add(*node)
    assert str(mixed.root()["trace"]) == str(straight.root()["trace"])
    assert [int(c) for c in str(mixed.root()["trace"]).replace("(", "").replace(")", "").split(",") if c] == list(
        range(chunks)
    )


def test_a_missing_or_repeated_chunk_is_noticed() -> None:
    tree = Tree(Trace().merge, 3)
    tree.add(0, 0, leaf(0))
    tree.add(0, 2, leaf(2))
    with pytest.raises(AssertionError, match="2 of 3"):
        tree.root()
    with pytest.raises(AssertionError, match="twice"):
        tree.add(0, 2, leaf(2))


@given(st.integers(0, 200), st.integers(1, 100))
def test_a_span_is_covered_by_the_nodes_that_its_chunks_merge_into(first: int, chunks: int) -> None:
    tree = Tree(Trace().merge, chunks)
    for chunk in range(first, first + chunks):
        tree.add(0, chunk, leaf(chunk))
    assert sorted(tree.nodes, key=lambda node: node[1] << node[0]) == nodes_of(first, first + chunks)
