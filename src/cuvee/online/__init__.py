"""Mixtures that are decided while a model trains: the arithmetic, without a trainer and without examples."""
