"""The names of the files that cuvee writes into its output folders."""

SELECTION = "selection.parquet"
PLAN = "plan.json"
PROFILE = "profile.json"
REPORT = "report.html"
REJECTS = "rejects.jsonl"
PLAN_FORMAT = 1
PROFILE_FORMAT = 1
"""Raised when an older cuvee could misread the file."""
