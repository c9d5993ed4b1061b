"""Static mixes: one file per rule, named as on the command line; how much of each source, decided from sizes alone."""

HELPERS = frozenset({"apportion", "base", "interleave", "wording"})
