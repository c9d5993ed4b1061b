"""Laws: one file per law, named as on the command line; what runs made at some settings say about others.

Beside them: ``curve`` fits formulas, ``judge`` scores fits on runs left out, ``propose`` finds the best mixture,
``caution`` how far to go toward it, ``reach`` refuses to extrapolate in silence, ``baselines`` is what a law has to
beat, ``boosted`` fits a formula many times over, ``trust`` whether a law knows enough, ``moved`` widens intervals of
few runs, ``marginal`` and ``posterior`` fit Gaussian processes and draw of them, ``surfaces`` draws what runs leave
possible for laws without intervals of their own, ``items`` clusters what models solve, ``checkpoints`` lays curves of
checkpoints over one another, ``distilled`` compares distilled runs at equal compute, ``transported`` chooses by a
transport distance, ``opened`` opens files of runs, ``table`` reads them, ``columns`` says what may stand in them, and
``noticed`` what a user should know of them before a law is fitted.
"""

HELPERS = frozenset(
    {
        "baselines",
        "boosted",
        "caution",
        "checkpoints",
        "columns",
        "curve",
        "distilled",
        "items",
        "judge",
        "label_distance",
        "marginal",
        "moved",
        "noticed",
        "opened",
        "perturbed",
        "posterior",
        "propose",
        "proposers",
        "reach",
        "rounds",
        "surfaces",
        "table",
        "transported",
        "trust",
        "wording",
    }
)
