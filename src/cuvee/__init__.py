"""cuvee decides what a model trains on, and proves that it helped."""

__version__ = "0.1.0"
