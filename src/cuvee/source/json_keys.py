"""The wanted columns of JSON rows as a tree of keys, in the form that the kernel walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Spec
from .json_tokens import Bytes, Numbers

SLOTS = ("text", "id", "domain", "tokens", "label", "embedding")


@dataclass(frozen=True)
class Keys:
    """The wanted key paths as a tree: node 0 is the line's object; edge e leads from ``parent[e]`` by a key."""

    parent: Numbers
    child: Numbers
    key: Bytes
    key_end: Numbers
    slot: Numbers
    """Per node: the slot its value goes to, or -1."""
    alias: Numbers
    """Per slot: the slot that captures the same path (itself, when it is the first), or -1 when not wanted."""

    @classmethod
    def of(cls, spec: Spec) -> Keys:
        nodes: dict[tuple[int, str], int] = {}
        slots: list[int] = [-1]
        alias = np.full(len(SLOTS), -1, np.int64)

        def node(parent: int, key: str) -> int:
            if (parent, key) not in nodes:
                nodes[parent, key] = len(slots)
                slots.append(-1)
            return nodes[parent, key]

        for number, role in enumerate(SLOTS):
            path = getattr(spec, role)
            if path is None:
                continue
            at = 0
            for part in path.split("."):
                at = node(at, part)
            nodes.setdefault((0, path), at)  # a key that contains the dots itself
            at = nodes[0, path] if "." in path else at
            if slots[at] < 0:
                slots[at] = number
            alias[number] = slots[at]
        spelled = [key.encode("utf-8", "surrogatepass") for _, key in nodes]
        return cls(
            parent=np.array([parent for parent, _ in nodes], np.int64),
            child=np.array(list(nodes.values()), np.int64),
            key=np.frombuffer(b"".join(spelled) + b"\0", np.uint8),
            key_end=np.cumsum([0] + [len(key) for key in spelled]).astype(np.int64),
            slot=np.array(slots, np.int64),
            alias=alias,
        )

    @property
    def slots(self) -> int:
        """How many rows of ``store`` are needed: up to the last wanted slot, and slot 0, which doubles as scratch."""
        return int(np.flatnonzero(np.append(self.alias, -1) >= 0).max(initial=0)) + 1

    def arrays(self) -> tuple[Any, ...]:
        return self.parent, self.child, self.key, self.key_end, self.slot, self.alias
