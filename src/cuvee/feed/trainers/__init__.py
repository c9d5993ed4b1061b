"""Mixes as the configuration that trainers read: one file per trainer, named as on the command line."""

HELPERS = frozenset({"base", "carried", "stages"})
