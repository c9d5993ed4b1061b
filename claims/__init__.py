"""Reruns of papers' comparisons at small scale: ``python -m claims [NAME ...]``."""
