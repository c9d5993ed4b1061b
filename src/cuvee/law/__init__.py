"""Laws: one file per law, named as on the command line; what runs made at some settings say about others.

Beside them: ``curve`` fits formulas, ``judge`` scores fits on runs left out, ``propose`` finds the best mixture,
``caution`` how far to go toward it, ``reach`` refuses to extrapolate in silence, ``baselines`` is what a law has to
beat, ``trust`` whether a law knows enough, ``marginal`` fits Gaussian processes, ``items`` clusters what models solve,
``checkpoints`` lays curves of checkpoints over one another, ``distilled`` compares distilled runs at equal compute,
``transported`` chooses by a transport distance, ``opened`` opens files of runs, and ``table`` reads them.
"""

HELPERS = frozenset(
    {
        "baselines",
        "caution",
        "checkpoints",
        "curve",
        "distilled",
        "items",
        "judge",
        "marginal",
        "opened",
        "propose",
        "reach",
        "rounds",
        "table",
        "transported",
        "trust",
        "wording",
    }
)
