"""Merge per-chunk states in a binary tree whose shape depends on chunk numbers alone.

Node (level, i) covers chunks [i * 2**level, (i + 1) * 2**level). Floating-point sums therefore do not depend on who
finished first, on how chunks were grouped into tasks, or on a restart. About log2(chunks) states are alive at a time
when chunks arrive roughly in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Node = tuple[int, int]


def nodes_of(first: int, last: int) -> list[Node]:
    """The largest nodes that together cover the chunks [first, last), in order."""
    found = []
    while first < last:
        level = (first & -first).bit_length() - 1 if first else (last - first).bit_length() - 1
        while first + (1 << level) > last:
            level -= 1
        found.append((level, first >> level))
        first += 1 << level
    return found


class Tree:
    """Collects states (or handles of states) and merges siblings with ``merge(left, right)``."""

    def __init__(self, merge: Callable[[Any, Any], Any], chunks: int) -> None:
        self.merge = merge
        self.chunks = chunks
        self.nodes: dict[Node, Any] = {}

    def add(self, level: int, index: int, state: Any) -> None:
        """Add a node, and merge it with its sibling as long as there is one."""
        while True:
            if (level, index) in self.nodes:
                raise AssertionError(f"chunk node {(level, index)} was added twice")
            if index % 2:
                left = self.nodes.pop((level, index - 1), None)
                if left is None:
                    break
                state = self.merge(left, state)
            else:
                right = self.nodes.pop((level, index + 1), None)
                if right is None:
                    break
                state = self.merge(state, right)
            level, index = level + 1, index // 2
        self.nodes[level, index] = state

    def root(self) -> Any:
        """The state of all chunks, or None if there are none: what is left merges from the right, which again depends
        on the count alone."""
        ordered = sorted(self.nodes.items(), key=lambda item: item[0][1] << item[0][0])
        covered = sum(1 << level for (level, _), _ in ordered)
        if covered != self.chunks:
            raise AssertionError(f"{covered} of {self.chunks} chunks were merged")
        if not ordered:
            return None
        state = ordered[-1][1]
        for _, left in reversed(ordered[:-1]):
            state = self.merge(left, state)
        return state
