"""Ratings of documents by a language model behind an HTTP endpoint: what is asked, how, and what came back."""
