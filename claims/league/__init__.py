"""The league: every method that chooses from texts, on the same tasks, at equal tokens: ``python -m claims.league``."""
