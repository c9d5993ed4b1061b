"""Merge per-chunk states in a binary tree whose shape depends on chunk numbers alone.

Node (level, i) covers chunks [i * 2**level, (i + 1) * 2**level). Floating-point sums therefore do not depend on who
finished first, on how chunks were grouped into tasks, or on a restart. About log2(chunks) states are alive at a time
when chunks arrive roughly in order.
"""

from __future__ import annotations

from ..core import Fold, State

Node = tuple[int, int]


class Tree:
    """Collects the states of one Fold."""

    def __init__(self, fold: Fold, chunks: int) -> None:
        self.fold = fold
        self.chunks = chunks
        self.nodes: dict[Node, State] = {}

    def add(self, level: int, index: int, state: State) -> None:
        """Add a node, and merge it with its sibling as long as there is one."""
        while True:
            if (level, index) in self.nodes:
                raise AssertionError(f"chunk node {(level, index)} was added twice")
            if index % 2:
                left = self.nodes.pop((level, index - 1), None)
                if left is None:
                    break
                state = self.fold.merge(left, state)
            else:
                right = self.nodes.pop((level, index + 1), None)
                if right is None:
                    break
                state = self.fold.merge(state, right)
            level, index = level + 1, index // 2
        self.nodes[level, index] = state

    def root(self) -> State:
        """The state of all chunks: what is left merges from the right, which again depends on the count alone."""
        ordered = sorted(self.nodes.items(), key=lambda item: item[0][1] << item[0][0])
        covered = sum(1 << level for (level, _), _ in ordered)
        if covered != self.chunks:
            raise AssertionError(f"{covered} of {self.chunks} chunks were merged")
        if not ordered:
            return self.fold.empty()
        state = ordered[-1][1]
        for _, left in reversed(ordered[:-1]):
            state = self.fold.merge(left, state)
        return state
