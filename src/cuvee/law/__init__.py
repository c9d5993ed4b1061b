"""Laws: one file per law, named as on the command line; what runs made at some settings say about others."""

HELPERS: frozenset[str] = frozenset()
