"""Proof: small models trained on a selection and on its baselines, and what their difference shows."""
