"""Small models that stand for the real one: one file per proxy, named as on the command line."""

HELPERS: frozenset[str] = frozenset({"checkpoint", "labelled", "text_model", "packing", "tokens"})
