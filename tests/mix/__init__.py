"""Static mixes."""
