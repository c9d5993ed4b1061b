"""Write docs/methods.md, and docs/laws.md about mixes and laws, from the methods' cards, parameters and docstrings.

    python scripts/make_docs.py            writes the pages
    python scripts/make_docs.py --check    exits 1 if a page is not what would be written

Cards and docstrings are the source; the only words of this file's own are ``WHEN`` and ``FAILS``, for what a card has
no field for. A method without an entry there is described by its card's summary and the traps in its docstring.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from cuvee import describing, registry
from cuvee.core import Method, Policy

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
LAWS = PAGE.with_name("laws.md")

WHEN = {
    "classifier": "You have some hundreds of texts that you want more of, and a score with a natural zero (more like "
    "the target than like the pool) is useful. The notes tell by cross-validation whether the difference can be "
    "learned at all.",
    "dsir": "You have a target of running text in the language and register that you want, and a large pool: the "
    "cheapest method that follows a target.",
    "zipfit": "The target is small (tens of texts) and formulaic, such as code or markup, and exact wording matters "
    "more than vocabulary. For pools beyond a few hundred megabytes use `mode=pooled`.",
    "perplexity": "You have no target and want to drop boilerplate at one end and noise at the other. With "
    "`fit_on=target`, a clean reference text says what good text looks like.",
    "preselect": "You have the losses of several models on a seed set, and know how able these models are.",
    "embedding": "You have no target and want rows that cover the pool, or spread out, by meaning and not by wording: "
    "`--with embedding --choose facility_location`, `k_center` or `herding`.",
    "clusters": "The pool is lopsided, and you want every kind of text to have its part: `--with clusters` chooses by "
    "`cluster_clip`.",
    "rds_plus": "The target has several kinds of text, each of which should be served. The method to beat among those "
    "that follow a target.",
    "less": "A few texts of each kind that you want, and a model to be fine-tuned on what is like them in effect: the "
    "strongest method by gradients, at a hundred times the cost of vectors ([gradients.md](gradients.md)).",
    "tracin": "You want to know what single steps on a row would do to the target's loss, without Adam's part in it.",
    "trak": "You have labelled vectors (`probe=linear`) and want what a retrained classifier would make of rows.",
    "learning_percentage": "You have no target, and want the rows that are learned late, within domains (`--quota`).",
    "gotd": "The model has been trained on data like the pool, and you want what it lacks of the target.",
    "tarot": "You have gradients or other features in which a few directions drown the rest: whitening is its point.",
    "snp": "The target is a mixture, and its proportions matter more than its single texts.",
    "leverage": "You need a small weighted sample on which linear functions of the vectors keep their sums.",
    "weak_supervision": "You have a few labelled rows and must decide which others to label or to train on.",
    "mates": "You can measure how much single documents help your own model (`influences`), or want a cheap estimate "
    "of it: rows that lower the loss on the target, not rows that look like it.",
    "quad": "Influence is dear to measure and the pool falls into clusters: few evaluations in each tell which are "
    "worth most.",
    "multi_source": "You choose what to label or train on by uncertainty, from sources some of which may be noise.",
    "skill_targeted": "Documents carry tags of the skills they train, and you know which ones your model was seen to "
    "miss.",
    "dataman": "Quality matters more than topic, and a language model can rate some of the documents: see "
    "[cuvee rate](rate.md).",
    "flyt": "The target should teach, not only be imitated, and you accept repeated rows. With scores at hand already, "
    "`--combine learned` weighs them by the same gradient (M-FLYT).",
    "sliced_wasserstein": "The kept rows should be distributed as the target is, its kinds of text in its proportions, "
    "not be its nearest rows.",
    "mig": "Rows have tags (by a tagger or by clusters), and a small set should tell as much as it can of all of them.",
    "structural_diversity": "Rows have structures (words, tags, node types), and a small set should show as many as "
    "it can, the frequent ones first.",
    "blast": "The pool lies lopsidedly in the plane of its main axes, and every region should have its part.",
    "v_information": "Rows have labels, and you look for the hard, the easy or the wrongly labelled ones.",
    "pass_rate": "You train by reinforcement on questions, and know how often a model answers each rightly.",
    "kmq": "Clusters divide the budget and a quality score should decide within them, perhaps in rounds: `--with "
    "clusters,classifier --combine rank:weights=0/1 --choose kmq`.",
    "d_optimal": "A linear model is to be fitted on few rows, as with `volume`, and you want no chance in the choice.",
    "volume": "A linear model is to be fitted on few rows: they should span the space.",
    "k_center": "No kind of row may be missing from a small selection, however rare, and the pool is clean.",
    "facility_location": "Every row of the pool should have a similar one in a small selection.",
    "herding": "The selection should look like the pool, only smaller, better than random rows do.",
    "cluster_clip": "Every cluster should have the same part of the budget. `clusters` uses it by itself.",
    "simans": "Rows near a known good score are wanted: hard negatives, or texts about as good as a reference.",
    "representative": "A sample must speak for the pool by domain and length, with figures that show how well.",
    "random": "Always, beside anything else: it is the baseline.",
    "length_matched": "A selection's lengths differ from the pool's. If random rows of the same lengths do as well, "
    "the score found lengths.",
    "top_k": "The score is reliable and you want a choice without chance.",
    "gumbel": "The score is a log weight and you want a sample in proportion to the weights.",
    "poisson": "You need known inclusion probabilities, for example to estimate the pool's totals from the sample.",
    "soft_cap": "The good rows are fewer than the budget, and repeating them a few times beats taking worse ones.",
    "threshold": "The score has a meaningful bound, such as 0 for log odds.",
    "keep_probability": "You want the middle of a scale of which neither end is good. `perplexity` uses it by itself.",
    "quota": "You want to fix each domain's share. Give `--quota` instead of naming it.",
    "uniform": "Always, beside any other policy: it is the baseline.",
    "rs2": "You judge a policy or a selection that leaves examples out: at equal steps, this is what it has to beat.",
    "infobatch": "You train for many epochs with losses per example at hand, and want to save part of the passes.",
    "stratified": "Always, beside a policy that decides about domains: it is the baseline that they seldom beat.",
    "cooldown": "Domains differ much in size, and the small ones should be learned early without being overfitted.",
    "upsample_end": "You know which small domains matter, and the training's length is fixed beforehand.",
    "reuse": "You train on from a finished model with a rate that begins where its training ended.",
    "replay": "You train on from a finished model on new data, and it must not forget the old.",
    "two_set": "You study repetition on generated examples; for text nothing speaks for it.",
    "aioli": "Measuring is cheap beside training (a large batch, a small held-out set), and nobody knows which domain "
    "helps which.",
    "skill_it": "A graph of which domain helps which is at hand, or short runs are cheap.",
    "doremi": "You want no domain left behind and can afford a reference and a proxy.",
    "doge": "Gradients of single domains can be had, and the held-out domains are what you care about.",
    "equitable": "Domains or groups should all become good, and some learn slowly or cost more.",
}
FAILS = {
    "random": "Equal texts without ids share one draw, so they are kept or dropped together.",
    "length_matched": "It matches lengths and nothing else. A length that the pool has too few rows of leaves its part "
    "of the budget unused.",
    "top_k": "It takes near copies of the best row, if there are any, and whatever extreme the score has (shortest, "
    "longest, most repetitive).",
    "gumbel": "Where scores spread over many more units than the temperature, it is top_k in all but name; see the "
    "effective sample size in plan.json.",
    "poisson": "The amount kept varies around the budget and may exceed it. It cannot be combined with `--quota`.",
    "soft_cap": "`beta` is in the unit of the score: the default suits scores that differ by about one. It cannot be "
    "combined with `--quota`.",
    "threshold": "If more rows pass than the budget holds, the best of them are kept; if fewer, the budget stays "
    "unfilled.",
    "quota": "What a small domain cannot fill is left unused. The rule within a domain must rank rows: poisson and "
    "soft_cap do not.",
}
_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")
_TRAPS = re.compile(r"(?<![\w`])Traps?[:.]\s+")


def paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]


def markdown(text: str) -> str:
    """A docstring's paragraph in Markdown: single backticks, no roles; indented equations are code already."""
    text = _ROLE.sub(r"`\1`", text).replace("``", "`")
    if text.startswith("    "):
        return text
    first, *rest = text.splitlines()
    if first.strip() == "Attributes:":
        return "\n".join(re.sub(r"^ {4}([^:]+):", _fields, line) for line in rest)
    return "\n".join(line if line.startswith("    ") else line.strip() for line in [first, *rest])


def _fields(match: re.Match[str]) -> str:
    return "- " + ", ".join(f"`{name.strip()}`" for name in match[1].split(",")) + ":"


def split_traps(docstring: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a module's docstring, and what they say about traps."""
    body, traps = [], []
    for part in paragraphs(docstring):
        found = None if part.startswith("    ") else _TRAPS.search(part)
        if found is None:
            body.append(markdown(part))
            continue
        if before := part[: found.start()].strip():
            body.append(markdown(before))
        rest = " ".join(markdown(part[found.end() :]).split())
        traps.append(rest[:1].upper() + rest[1:])
    return body, traps


def needs(found: dict[str, Any]) -> str:
    return ", ".join(found["needs"]) or "nothing"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def accents(text: str) -> str:
    """TeX accents as letters, for the table."""
    for tex, letter in (('\\"a', "ä"), ('\\"o', "ö"), ('\\"u', "ü"), ("\\'a", "á"), ("\\'i", "í"), ("\\'e", "é")):
        text = text.replace(tex, letter)
    return text


def kinds() -> dict[str, list[str]]:
    """The names of the methods by what they are."""
    groups: dict[str, list[str]] = {"Scoring methods": [], "Baselines": [], "Choosing rules": [], "Policies": []}
    for name, entry in registry.entries().items():
        if entry.point is not None:
            continue  # installed beside cuvee, not part of it
        kind = entry.load()
        baseline = kind.card.family == "baseline"
        title = "Baselines" if baseline else "Choosing rules"
        if issubclass(kind, Method | Policy):
            title = "Scoring methods" if issubclass(kind, Method) else "Policies"
        groups[title].append(name)
    return groups


ROLES = {
    "Scoring methods": "Named with `--with`. Each gives every row a score and brings the rule that its paper chooses "
    "by; `--choose` replaces that rule.",
    "Baselines": "Named with `--with` as well; they choose without a score.",
    "Choosing rules": "Named with `--choose`, beside a scoring method.",
    "Policies": "They decide while a model trains: which examples come next, in which order, and how much each counts. "
    "A selection does not use them; `cuvee prove --policy` compares training with and without one.",
}


def table(names: list[str]) -> list[str]:
    methods = [one for one in describing.table() if one["family"] not in registry.KINDS]
    citations = {one["name"]: accents(one["citation"]) for one in methods}
    lines = ["| method | what it does | needs | cost | paper |", "|-|-|-|-|-|"]
    for name in names:
        found = describing.facts(name)
        cells = (found["summary"].rstrip("."), needs(found), found["cost"], citations[name] or "-")
        lines.append(f"| [`{name}`](#{name}) | " + " | ".join(escaped(cell) for cell in cells) + " |")
    return lines


def parameters(found: dict[str, Any]) -> list[str]:
    if not found["parameters"]:
        return ["**Parameters:** none."]
    lines = ["| parameter | type | default |", "|-|-|-|"]
    for one in found["parameters"]:
        default = "required" if one["required"] else f"`{one['default']}`" if one["default"] else "see above"
        lines.append(f"| `{one['name']}` | `{escaped(one['type'])}` | {default} |")
    return lines


def section(name: str) -> list[str]:
    """One method's part of the page."""
    found = describing.facts(name)
    body, traps = split_traps(found["description"])
    if name in FAILS:
        traps.append(FAILS[name])
    blocks = [f"### {found['name']}"]
    blocks.append(f"**Use it when:** {WHEN.get(name, found['summary'])}")
    blocks.append(f"**Needs:** {needs(found)}. **Cost:** {found['cost']}. **Evidence:** {found['evidence']}.")
    blocks += body
    blocks += [markdown(part) for part in paragraphs(found["class"])]
    blocks.append("\n".join(parameters(found)))
    if traps:
        blocks.append("**When it fails:** " + "\n\n".join(traps))
    if found["bibtex"].strip():
        blocks.append(f"```bibtex\n{found['bibtex'].strip()}\n```")
    return blocks


def page() -> str:
    """The whole page."""
    groups = kinds()
    blocks = [
        "# Methods",
        "<!-- Written by scripts/make_docs.py from the methods' cards and docstrings. Change those, then run it. -->",
        "The same facts stand in the program: `cuvee methods` prints the table, `cuvee methods NAME` one method. "
        "Parameters are set as `--with NAME:parameter=value,parameter=value`, in Python as `settings={...}`; those of "
        "a rule as `--choose NAME:parameter=value` and `choose_settings={...}`. A list of numbers is typed `0.2/0.8`. "
        '"Evidence" says what an implementation was checked against. None of it says that a model trained on the '
        "choice is better.",
    ]
    for title, names in groups.items():
        blocks += [f"## {title}", ROLES[title], "\n".join(table(names))]
        for name in names:
            blocks += section(name)
    return "\n\n".join(blocks) + "\n"


def laws() -> str:
    """The page about static mixes and laws."""
    blocks = [
        "# Static mixes and laws",
        "<!-- Written by scripts/make_docs.py from cards and docstrings. Change those, then run it. -->",
        "What `cuvee mix POOL --with MIX` and `cuvee mix fit RUNS --with LAW` take. When to use which, and when they "
        "fail, stands in [mix.md](mix.md). Parameters are set as `--with NAME:parameter=value`.",
    ]
    for kind, title in (("mix", "Static mixes"), ("law", "Laws")):
        blocks.append(f"## {title}")
        for name in registry.found_in(kind):
            blocks += section(f"{kind}:{name}")
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    for place, text in ((PAGE, page()), (LAWS, laws())):
        if "--check" in sys.argv[1:]:
            if not place.is_file() or place.read_text(encoding="utf-8") != text:
                raise SystemExit(f"{place} is not up to date: run python scripts/make_docs.py")
            continue
        place.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
