"""Exports: the chosen documents of a selection, written out in the formats that trainers read."""
