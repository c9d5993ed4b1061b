"""Policies in training: one file per policy, named as on the command line."""

HELPERS: frozenset[str] = frozenset()
