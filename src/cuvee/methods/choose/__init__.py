"""Choosing methods: one file per method, named as on the command line."""

HELPERS = frozenset(
    {"cut", "greedy", "greedy_kernels", "independent", "information_gain", "layered", "rescaled", "structure"}
)
