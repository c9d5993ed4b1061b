"""One proof, from opened selections to all that is said about them: ``cuvee prove`` without its files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import proof_wording as wording
from ..checks import usable
from ..engine.run import Engine
from ..engine.store import digest
from ..errors import DataError, UsageError
from ..methods.policy.uniform import Uniform
from ..pool import Paths, Reading
from . import evaluations, findings, outlook, overlap
from .arms import (
    BASELINES,
    Plan,
    against_baselines,
    against_uniform,
    clean_parts,
    tokens_of_a_trial,
    with_more_tokens,
)
from .candidates import Candidate, open_candidates
from .corpus import gather
from .draws import Arm, Drawn, union
from .evaluations import EvaluationSet
from .exchange import evaluation_digest, put_rows
from .holdout import ReusableHoldout
from .ladder import Ladder
from .ledger import Ledger
from .needed import tokens_needed
from .places import Place, cost_of, train
from .power import detectable, seeds_needed
from .proxy import Recipe
from .question import Question, name_of
from .record import Record
from .summary import content
from .trials import Task
from .verdict import planned_looks, stop

PILOT = 3
"""Seeds after which the spread of the differences is known well enough to say how many are needed."""
USUAL_EFFECT = 0.01
"""Of the baseline's loss: the difference for which the number of seeds is told when none is named."""
SUIT = {False: ("ngram", "transformer"), True: ("linear_probe", "mlp")}
"""Proxies to name where one does not suit the pool, by whether it is text that the pool lacks."""
FULL_AT_MOST = 32
"""The whole pool is trained on if it holds at most this many times a trial's tokens, and eight times the most that the
proxy takes unasked."""


@dataclass
class Job:
    """One proof, from opened selections to all that is said about them."""

    question: Question
    place: Place
    command: str
    warnings: list[str] = field(default_factory=list)
    on_target: list[str] = field(default_factory=list)
    records: dict[tuple[str, int], Record] = field(default_factory=dict)
    draws: dict[tuple[str, int], Drawn] = field(default_factory=dict)
    rejected: int = 0
    """Rows of the pool that cannot be used."""

    engine: Engine = field(init=False)
    candidates: list[Candidate] = field(init=False)
    others: list[str] = field(init=False)
    sets: list[EvaluationSet] = field(init=False)
    guarded: list[EvaluationSet] = field(init=False)
    met: overlap.Overlap = field(init=False)
    plan: Plan = field(init=False)

    @property
    def ledger(self) -> Ledger:
        return self.place.ledger

    def open(self, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open selections, pool and evaluation sets; nothing is trained."""
        question = self.question
        folders = [Path(one) for one in question.against if one not in BASELINES]
        self.engine, self.candidates = open_candidates(
            [*question.selections, *folders], self.place.store, self.place.executor, self.place.progress
        )
        self.others = [one.name for one in self.candidates[len(question.selections) :]]
        spec = self.engine.pool.manifest.spec
        lacking = [need for need in question.proxy.needs if getattr(spec, need) is None]
        if lacking:
            raise UsageError(
                f"The proxy {name_of(question.proxy)} needs a column for {lacking[0]}, which the selection's pool does "
                f"not have. Choose another with --proxy: {', '.join(SUIT[lacking[0] == 'text'])}."
            )
        needs = question.proxy.needs
        self.sets = [
            evaluations.read(name, paths, reading, self.place.store, question.eval_bytes, needs)
            for name, paths in sets.items()
        ]
        self.guarded = []
        if question.holdout:
            self.sets, self.guarded = map(list, zip(*map(evaluations.divide, self.sets), strict=True))
        self.warnings += evaluations.checked(self.sets, reading)

    def prepare(self, train: bool = True) -> None:
        """Look for evaluation texts in the pool, set up the arms, and draw what each trains on at each seed.

        Args:
            train: whether a trial may be run to learn what selecting cost.
        """
        question, engine = self.question, self.engine
        engine.ensure_facts(engine.pool)
        sets = [*self.sets, *self.guarded]
        self.met, contaminated, told = evaluations.found_in(engine, sets, question.overlap, self.candidates)
        columns = engine.columns(domain_by_convention=True)
        self.rejected = columns.rejected  # whoever selected has agreed to go on without
        self.warnings += [*usable(engine, columns, Reading(skip_bad=True)), *told]
        self.on_target = wording.own_target(self.candidates, self.sets)
        self.warnings = [*self.on_target, *self.warnings]
        pool, parts = clean_parts(columns, self.candidates, contaminated)
        tokens = tokens_of_a_trial(question.tokens, list(parts.values()), question.proxy.most_tokens)
        if question.policies:
            self.plan = against_uniform(self.candidates, parts, question.policies, Uniform(), tokens, question.epochs)
        else:
            names = [one for one in question.against if one in BASELINES]
            if not question.against:
                names = ["random", "length_matched", *(["proportional"] if len(columns.domains) > 1 else [])]
                most = 8 * (question.proxy.most_tokens or tokens * FULL_AT_MOST)
                if pool.totals["tokens"] <= min(FULL_AT_MOST * tokens, most):
                    names.append("full")
            self.plan = against_baselines(
                pool, self.candidates, parts, names, self.others, tokens, Uniform(), question.epochs
            )
        if question.equal == "cost" and train:
            self._equal_cost()
        for seed in question.seeds:
            for arm in self.plan.arms:
                self.draw(arm, seed)
        empty = next((name for (name, _), drawn in self.draws.items() if not len(drawn.row)), None)
        if empty is not None:
            raise DataError(
                f"A trial of {self.plan.tokens:,} tokens is too short: no document of '{empty}' fits into it. Give "
                "more --tokens, or prove a selection of more documents."
            )
        self.warnings += wording.unequal(self.plan, self.draws, question.seeds)

    def _equal_cost(self) -> None:
        """Give the baselines the tokens that could be trained on in the time that selecting took.

        Training speed is that of the fastest of the candidate's first trials, run one after another in one process (the
        first one loads kernels); the ledger keeps it, so that the same command finds the same arms again.
        """
        (candidate,) = [arm for arm in self.plan.arms if arm.kind == "candidate"]
        seeds = self.question.seeds[:PILOT]
        self.train([candidate], seeds, workers=1)
        records = [self.records[candidate.name, seed] for seed in seeds]
        speed = max(one.cost["tokens"] / max(one.cost["train_seconds"], 1e-9) for one in records)
        record = records[0]
        more = int(record.cost["select_seconds"] * speed)
        self.plan = with_more_tokens(self.plan, more)
        self.warnings.append(
            f"At equal cost: selecting took {record.cost['select_seconds']:.2f} s for each trial's share, so baselines "
            f"train on {self.plan.tokens + more:,} tokens instead of {self.plan.tokens:,}. A large model's training "
            "dwarfs this cost."
        )

    def draw(self, arm: Arm, seed: int) -> Drawn:
        """What an arm trains on at a seed."""
        if (arm.name, seed) not in self.draws:
            alike = (arm.name, self.question.seeds[0])
            if arm.choose is None and alike in self.draws:
                self.draws[arm.name, seed] = self.draws[alike]
            else:
                self.draws[arm.name, seed] = arm.draw(seed)
        return self.draws[arm.name, seed]

    def task(self, arm: Arm, seed: int) -> Task:
        """The trial of an arm at a seed."""
        drawn = self.draw(arm, seed)
        selection, manifest = drawn.digest, self.engine.pool.manifest
        if self.question.proxy.needs != ("text",):  # labels, say, of which a digest of contents knows nothing
            selection = digest("rows of", selection, [manifest.span_key(span) for span in manifest.spans])
        seconds = arm.select_seconds * drawn.tokens / arm.select_tokens if arm.select_tokens else 0.0
        cost = cost_of(drawn, seconds, seconds * findings.SELECT_OPERATIONS_PER_SECOND)
        recipe = Recipe(self.question.proxy, arm.policy, arm.epochs)
        seed = 0 if self.question.proxy.seedless else seed
        return Task(arm.name, selection, recipe, seed, put_rows(self.place.store, drawn.places), (), cost)

    def train(self, arms: Sequence[Arm], seeds: Sequence[int], workers: int | None = None) -> None:
        """Run the trials of these arms at these seeds that the ledger lacks, in so many processes."""
        tasks = {(arm.name, seed): self.task(arm, seed) for seed in seeds for arm in arms}
        corpus = gather(self.engine, union([self.draws[place] for place in tasks]))
        sets = [*self.sets, *self.guarded]
        found = train(self.place, list(tasks.values()), corpus, sets, workers)
        by_key = {(record.selection, record.recipe, record.seed): record for record in found.values()}
        for (name, seed), task in tasks.items():
            record = by_key[task.selection, task.recipe.digest(), task.seed]
            self.records[name, seed] = replace(record, arm=name, seed=seed, cost={**record.cost, **task.select_cost})

    def outlook(self) -> dict[str, Any]:
        """What is going to be trained and about how long it takes."""
        trials = len(self.plan.arms) * len(self.question.seeds)
        more = outlook.more_trials(self.question, self.plan)
        known = [self.ledger.path(key).exists() for key in self._keys(self.question.seeds)]
        seconds: float | None = 0.0
        if not all(known):
            draws = [self.draws[arm.name, seed] for arm in self.plan.arms for seed in self.question.seeds]
            seconds = outlook.seconds(self.question, self.engine, draws, self.sets, more)
        return {
            "trains": f"{trials} trials: {len(self.plan.arms)} arms x {len(self.question.seeds)} seeds, "
            f"{self.plan.tokens:,} tokens each"
            + (f"; then random at {', '.join(f'{times:g}' for times, _ in more)} times the tokens" if more else ""),
            "arms": [arm.name for arm in self.plan.arms],
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "time": outlook.said(None if seconds is None else seconds / self.place.executor.workers, known),
            **({"warnings": self.warnings} if self.warnings else {}),
        }

    def run(self) -> dict[str, Any]:
        """All trials, the answers, and all that is said of them."""
        self.prepare()
        question, seeds = self.question, self.question.seeds
        ahead = self.outlook()
        self.place.say(f"{ahead['trains']}; {ahead['time']}")
        looks = planned_looks(len(seeds), question.stop_early)
        asked = findings.Asked(question.alpha, question.margin, looks)
        pilot = seeds[: min(PILOT, len(seeds))]
        begun = time.monotonic()
        fresh = sum(self.ledger.find(key) is None for key in self._keys(pilot))
        self.train(self.plan.arms, pilot)
        power = self._power(findings.answers(self.plan, pilot, self.sets, self.records, asked))
        if len(seeds) > len(pilot):
            each = (time.monotonic() - begun) / max(fresh, 1) if fresh else 0.0
            left = each * len(self.plan.arms) * (len(seeds) - len(pilot))
            self.place.say(wording.pilot(power, len(pilot), len(seeds), left, question.proxy.unit))
        done: tuple[int, ...] = ()
        for look in looks:
            done = seeds[:look]
            self.train(self.plan.arms, done)
            answers = findings.answers(self.plan, done, self.sets, self.records, asked)
            if stop(looks, look, answers.primary) and not answers.unanswered:
                break
        if len(done) < len(seeds):
            self.warnings.append(
                f"Stopped after {len(done)} of {len(seeds)} seeds by the rule fixed beforehand (--stop-early): the "
                "level of every interval allows for both looks."
            )
        if power is not None and answers.primary:
            power = {**power, "pilot_detectable": power["detectable"], "detectable": answers.primary[0].detectable}
        return content(self, done, answers, power, tokens_needed(self, done, answers.primary))

    def _keys(self, seeds: Sequence[int]) -> list[str]:
        digests = {one.name: evaluation_digest(one.evaluation) for one in (*self.sets, *self.guarded)}
        return [self.task(arm, seed).key(digests) for arm in self.plan.arms for seed in seeds]

    def _power(self, answers: findings.Answers) -> dict[str, Any] | None:
        """From the pilot: how many seeds the wanted effect needs, and what the planned ones can see."""
        if not answers.primary or len(answers.primary[0].seeds) < PILOT:
            return None
        one = answers.primary[0]
        effects = [self.question.effect] if self.question.effect is not None else []
        effects += [self.question.margin] if self.question.margin is not None else []
        spread = one.parts.seeds * one.parts.n
        given: dict[str, Any] = {
            "spread": spread,
            "pilot": one.parts.n,
            "luck": one.parts.luck,
            "documents": one.parts.documents,
            "n_documents": one.parts.m,
            "alpha": 1 - one.level,
        }
        seen = detectable(
            spread, len(self.question.seeds), one.parts.luck, one.parts.documents, one.parts.m, 1 - one.level
        )
        effects = effects or [one.against_mean * USUAL_EFFECT]
        needed = [seeds_needed(effect, **given) for effect in effects]
        return {
            "detectable": seen,
            "assumed": self.question.effect is None and self.question.margin is None,
            "pilot_seeds": one.parts.n,
            "seeds_for": [{"effect": each.effect, "seeds": each.seeds, "said": each.sentence()} for each in needed],
        }

    def ask_holdout(self, answers: findings.Answers) -> list[dict[str, Any]]:
        """What the guarded parts say of each candidate against its first baseline: the mean gain per document."""
        found = []
        by_name = {one.name: other for one, other in zip(self.sets, self.guarded, strict=True)}
        for one in answers.primary:
            if one.against != answers.primary[0].against or one.evaluation not in by_name:
                continue
            other = by_name[one.evaluation]
            gains = [findings.gains(self.records, one, name) for name in (one.evaluation, other.name)]
            about = {"arm": one.arm, "against": one.against, "evaluation": one.evaluation}
            place, n = self.ledger.folder / "holdout", len(other.evaluation.batch)
            if self.question.ladder is not None:
                step = None if self.question.ladder == "auto" else float(self.question.ladder)
                ladder = Ladder(place / f"{other.digest}.ladder.json", n, step)
                told = ladder.ask(gains[1], self._yardstick(one.against))
                found.append({**about, "gain": told.gain, "ahead": told.ahead, "limits": ladder.limits()})
            else:
                holdout = ReusableHoldout(place / f"{other.digest}.json", n)
                found.append({**about, "gain": holdout.ask(*gains), "limits": holdout.limits()})
        return found

    def _yardstick(self, against: str) -> str:
        """What gains over this baseline may be compared with: gains of the same recipe, tokens and baseline."""
        arm = next(arm for arm in self.plan.arms if arm.name == against)
        recipe, manifest = Recipe(self.question.proxy, arm.policy, arm.epochs), self.engine.pool.manifest
        drawn = "" if arm.kind in BASELINES else self.draw(arm, self.question.seeds[0]).digest
        pool = [manifest.span_key(span) for span in manifest.spans]
        return digest("yardstick", recipe.digest(), arm.tokens, arm.kind, drawn, pool)
