"""``python -m cuvee.cli``."""

from . import main

main()
