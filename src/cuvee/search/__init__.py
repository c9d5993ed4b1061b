"""Searching mixtures: swarms of proxy runs, what they train on, and the fast way to count them."""
