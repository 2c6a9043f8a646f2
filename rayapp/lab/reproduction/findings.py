"""The paper's qualitative findings, each held against the trials.

A finding may appear, appear in part, not appear, or trials may disagree too much to tell. The
figures come from the trials; why they are so is the mechanism, hedged where it is inferred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from envs import Catalogue
from rayapp.lab.reproduction.comparison import (
    Comparison,
    closing_reward,
    compare,
    pairs_of,
)
from rayapp.lab.reproduction.plan import Label, Part
from rayapp.lab.reproduction.results import Results, SystemResult, TrialResult
from rayapp.lab.reproduction.single import one_action
from rayapp.lab.reproduction.systems import shown
from rayapp.lab.statistics import Estimate
from rayapp.lab.wording import joined, percent, reward_text, signed

Verdict = Literal["yes", "partly", "no", "cannot be told"]

RIGHT, WRONG = 0.001, 0.005
"""Shares of correct actions nearer than this count as level; fewer flows are misdetected."""

LEVEL = 0.95
"""Of the rise to the lower of two final rewards: where 'faster' is measured."""

FEW = 6
"""Iterations below which a training's curve is not read."""

_INFUSED = ("ppo-kg", "ppo-kg-pt", "llm-kg")


_Systems = Mapping[str, SystemResult]
_Told = tuple[Verdict, str, str]


@dataclass(frozen=True)
class Finding:
    """One of the paper's findings.

    Attributes:
        claim: what the paper found.
        appears: whether it is so here.
        figures: what that is read from.
        why: the likely mechanism.
    """

    claim: str
    appears: Verdict
    figures: str
    why: str


def findings(results: Results, label: Label) -> list[Finding]:
    """All findings under one label's settings, in the order in which the paper tells them."""
    main = results.of(label, "main")
    found = []
    for one in _CHECKS:
        given = results.of(label, one.part)
        missing = [shown(name) for name in one.needed if name not in given]
        if missing:
            told = f"Not trained here: {joined(missing)}."
            found.append(Finding(one.claim, "cannot be told", told, ""))
            continue
        appears, figures, why = one.check(given, main)
        if why:
            why = _single(one, given, results.scenarios[0].catalogue) or why
        found.append(Finding(one.claim, appears, figures, why))
    return found


def _single(check: _Check, given: _Systems, catalogue: Catalogue) -> str:
    """What explains a finding about policies that take one action for all flows."""
    actions = {name: one_action(given[name], catalogue) for name in check.needed}
    taken = {actions[name] for name in check.single}
    if None in taken or len(taken) > 1:
        return ""
    (action,) = taken
    same = joined([shown(name) for name, own in actions.items() if own == action])
    return f"Whatever is detected, '{action}' is what {same} ended with. {check.then}"


def verdict(parts: Sequence[bool | None]) -> Verdict:
    """What the parts of a claim, each true, false or not to be told, make together."""
    if all(parts):
        return "yes"
    if True in parts and False in parts:
        return "partly"
    return "cannot be told" if None in parts else "no"


def _high_lambda(given: _Systems, main: _Systems) -> _Told:
    infused, plain = given["lambda 1.0"], given["ppo"]
    if too_short(infused, plain):
        return _NO_ITERATIONS
    end, speed = compare(infused, plain, closing_reward), time_to_level(infused, plain)
    if end is None or speed is None:
        return _NO_ITERATIONS
    faster, lower = speed.is_("lower"), end.is_("lower")
    figures = (
        f"λ = 1 gets to {percent(LEVEL, 0)} of the rise that both make after {speed.one:,.0f} "
        f"flows, PPO after {speed.other:,.0f}. {_ends('λ = 1', end)}"
    )
    why = [
        "The pull towards the advised action works from the first update on, before rewards have "
        "shown which action is best."
        if faster
        else "The average is decided by a few frequent classes whose best actions PPO finds within "
        "its first updates, which leaves the pull little to speed up (inferred)."
    ]
    if lower:
        why.append(
            "The same pull keeps holding the policy to the advice where rewards say otherwise, "
            "and at λ = 1 it is as strong as they are."
        )
    elif lower is False:
        why.append(_advice_alone(main) + "so being held to it costs nothing.")
    return verdict([faster, lower]), figures, " ".join(why)


def _advice_alone(main: _Systems) -> str:
    alone = main.get("llm-kg")
    if alone is None:
        return "The advice is as good as what PPO finds by itself, "
    earned = reward_text(alone.average.mean, 3)
    return f"The advice itself is good (the language model alone earns {earned} on test flows), "


def _low_lambda(given: _Systems, main: _Systems) -> _Told:
    end = compare(given["lambda 0.1"], given["ppo"], closing_reward)
    if end is None or too_short(given["lambda 0.1"], given["ppo"]):
        return _NO_ITERATIONS
    why = {
        "level": "A tenth of the pull is weak beside rewards of −5 to 5: once they are learnt, "
        "they decide.",
        "higher": "It ends even higher. A weak pull is enough to keep trying the advised action "
        "for classes that are too rare for PPO to find theirs (inferred).",
        "lower": "Even a tenth of the pull still holds the policy to the advice where rewards say "
        "otherwise, or the training is too short to leave it (inferred).",
        "unclear": "The trials disagree.",
    }[end.direction]
    below = end.is_("lower")
    return verdict([None if below is None else not below]), _ends("λ = 0.1", end), why


def _annealing(given: _Systems, main: _Systems) -> _Told:
    infused, plain = given["ppo-kg"], given["ppo"]
    end = compare(infused, plain, closing_reward)
    if end is None or too_short(infused, plain):
        return _NO_ITERATIONS
    behind = lowest_lead(infused, plain)
    was_behind = behind < -end.level
    figures = _ends("PPO-KG", end) + (
        f" At its worst tenth of the training PPO-KG was {reward_text(-behind, 3)} behind."
        if was_behind
        else " In no tenth of the training was PPO-KG behind."
    )
    higher = end.is_("higher")
    why = {
        "higher": "While λ falls, rewards take over from the advice, and rare classes start from "
        "the advised action instead of from the most frequent one.",
        "level": "Both come near to what the signature allows on average, and rare classes hardly "
        "show in it; the class means of the test flows tell more.",
        "lower": "What the pull cost early on was not made up for. KL(policy to reference) "
        "carries a factor π(a): for an action that the policy has given up, it has no gradient "
        "left, however good the advice has become (inferred)."
        if infused.label == "paper"
        else "What the pull cost early on was not made up for (inferred).",
        "unclear": "The trials disagree.",
    }[end.direction]
    if higher and not was_behind:
        why = "PPO-KG was never behind, so there was nothing to overtake: it led from early on."
    return verdict([higher, was_behind] if higher else [higher]), figures, why


def _cloning(given: _Systems, main: _Systems) -> _Told:
    cloned, infused = given["ppo-kg-pt"], given["ppo-kg"]
    benign = compare(cloned, infused, lambda trial: trial.card.score.per_class.get("Benign"))
    average = compare(cloned, infused, lambda trial: trial.card.score.average_reward)
    if benign is None or average is None:
        return "cannot be told", "There are no benign test flows.", ""
    figures = (
        f"Benign: PPO-KG-PT {_against(benign)} of PPO-KG (paper: 4.99 against −0.11). "
        f"Average: {_against(average)} (paper: 4.91 against 2.88)."
    )
    if benign.is_("higher"):
        why = (
            "Cloning is supervised: its gradient lacks the factor π(a) of eq. 5, so it also moves "
            "a network that raw counts, which grow into the thousands, have saturated (inferred)."
        )
    elif benign.is_("level") and benign.other > 4.5:
        why = (
            "There is nothing to fix: without cloning PPO-KG learns Benign too. It is by far the "
            "most frequent class, so its rewards are seen in every update; why the paper's PPO-KG "
            "missed it cannot be seen from here."
        )
    else:
        why = (
            "What is cloned is washed out or not enough: reinforcement learning goes on from it "
            "with the same raw state, whose counts grow into the thousands (inferred)."
            if cloned.label == "paper"
            else "Reinforcement learning goes on from what was cloned and ends where it ends "
            "without it (inferred)."
        )
    return verdict([benign.is_("higher"), average.is_("higher")]), figures, why


def _when_right(given: _Systems, main: _Systems) -> _Told:
    parts, figures = _against_ppo(given, lambda t: t.card.correct_action.detected_correctly, RIGHT)
    above = {name: part.is_("higher") for name, part in parts.items()}
    told = verdict(list(above.values())) if parts else "cannot be told"
    if told == "yes":
        why = (
            "The graph knows which action earned most for each predicted type, and the advice "
            "carries that to rare classes, which count as little in PPO's loss as they are few."
        )
    else:
        why = (
            "Where detection is right, the predicted class alone says what to do. PPO learns it "
            "for all frequent classes; only rare ones are left to win, and the share of correct "
            "actions over all flows hardly shows them."
        )
    return told, figures, why


def _when_wrong(given: _Systems, main: _Systems) -> _Told:
    parts, figures = _against_ppo(given, lambda t: t.card.correct_action.misdetected, WRONG)
    below = {name: part.is_("lower") for name, part in parts.items()}
    told = verdict(list(below.values())) if parts else "cannot be told"
    if told == "yes":
        why = (
            "Advice follows the predicted type unless the graph has recorded that the signature "
            "errs, and so does who is pulled towards it. PPO follows rewards alone, and its habit "
            "of 'Filter Network Traffic', the best action of four of eight classes, pays where "
            "the detector is wrong (inferred)."
        )
    elif told == "no":
        why = (
            "Once PPO has learnt what each predicted class calls for, it is misled by a wrong one "
            "as the advice is; the graph's record of a signature's errors can only help (inferred)."
        )
    else:
        why = "Advice and rewards agree on most signatures; few flows, the misdetected, decide."
    return told, figures, why


def _worst(given: _Systems, main: _Systems) -> _Told:
    supervised = given["dl"]
    others = {name: system for name, system in given.items() if name in ("ppo", *_INFUSED)}
    told, figures = [], []
    for word, level, value in (
        ("right", RIGHT, lambda t: t.card.correct_action.detected_correctly),
        ("wrong", WRONG, lambda t: t.card.correct_action.misdetected),
    ):
        rows: dict[str, Comparison] = {}
        for name, system in others.items():
            found = compare(supervised, system, value, level)
            if found:
                rows[name] = found
        if not rows:
            continue
        below = [row.is_("lower") for row in rows.values()]
        told.append(False if False in below else None if None in below else True)
        own = percent(next(iter(rows.values())).one, 1)
        rest = joined([f"{shown(name)} {percent(row.other, 1)}" for name, row in rows.items()])
        figures.append(f"Detection {word}: DL {own}, {rest}.")
    appears = verdict(told) if told else "cannot be told"
    why = (
        "The paper blames imbalance: the loss is an average over flows, so rare classes count as "
        "little as they are few, and the supervised network sees neither rewards nor advice."
        if appears == "yes"
        else "Supervised learning is told the best action of every flow, which reinforcement "
        "learning has to find. Here DL's steps go over expected batches without the noise of "
        "drawing flows, and imbalance alone does not make it the worst (inferred)."
    )
    return appears, " ".join(figures), why


def _against_ppo(
    given: _Systems, value: Callable[[TrialResult], float | None], level: float
) -> tuple[dict[str, Comparison], str]:
    """The infused systems' comparisons with PPO, and a sentence on them."""
    parts: dict[str, Comparison] = {}
    for name in _INFUSED:
        found = compare(given[name], given["ppo"], value, level) if name in given else None
        if found:
            parts[name] = found
    if not parts:
        return parts, "There are no such flows."
    own = [
        f"{shown(name)} {percent(part.one, 1)} ({signed(100 * part.less.mean, 1)} points)"
        for name, part in parts.items()
    ]
    return parts, f"PPO {percent(next(iter(parts.values())).other, 1)}; {joined(own)}."


def _ends(name: str, end: Comparison) -> str:
    return f"{name} ends its training at {_against(end)} of PPO."


def _against(found: Comparison) -> str:
    """``4.81 against the 4.95``, and the difference where trials give an interval."""
    text = f"{reward_text(found.one, 3)} against the {reward_text(found.other, 3)}"
    less = found.less
    if len(less.values) < 2:
        return text
    return f"{text} ({signed(less.mean, 3)}, {signed(less.low, 3)} to {signed(less.high, 3)})"


def time_to_level(one: SystemResult, other: SystemResult) -> Comparison | None:
    """Flows until both come near the final reward of the lower, compared trial by trial."""
    counted = [_flows_to_level(mine, theirs) for mine, theirs in pairs_of(one, other)]
    given = [pair for pair in counted if pair]
    if not given:
        return None
    own, beside = (float(np.mean(column)) for column in zip(*given, strict=True))
    step = pairs_of(one, other)[0][1].lines[0].flows
    return Comparison(own, beside, Estimate.of([a - b for a, b in given]), step / 2)


def _flows_to_level(one: TrialResult, other: TrialResult) -> tuple[int, int] | None:
    ends = [closing_reward(trial) for trial in (one, other)]
    if ends[0] is None or ends[1] is None:
        return None
    floor = min(one.lines[0].average_reward, other.lines[0].average_reward)
    level = floor + LEVEL * (min(ends[0], ends[1]) - floor)
    first, second = (
        # The mean of the last iterations is no higher than the highest of them.
        next(line.flows for line in trial.lines if line.average_reward >= level)
        for trial in (one, other)
    )
    return first, second


def lowest_lead(one: SystemResult, other: SystemResult, parts: int = 10) -> float:
    """The smallest lead in any part of the training, over mean rewards of all trials."""
    leads = [
        np.array([a.average_reward - b.average_reward for a, b in zip(x.lines, y.lines)])  # noqa: B905
        for x, y in pairs_of(one, other)
    ]
    length = min(len(lead) for lead in leads)
    mean = np.mean([lead[:length] for lead in leads], axis=0)
    return float(min(part.mean() for part in np.array_split(mean, min(parts, length))))


def too_short(*systems: SystemResult) -> bool:
    """Whether a training has too few iterations for its curve to mean anything."""
    return any(len(trial.lines) < FEW for system in systems for trial in system.trials)


_NO_ITERATIONS: _Told = (
    "cannot be told",
    f"The trainings have fewer than {FEW} updates each, too few for a curve.",
    "",
)


@dataclass(frozen=True)
class _Check:
    """How a claim is checked.

    Attributes:
        claim: what the paper found.
        part: whose trials it is about.
        needed: the systems it is about.
        check: gives verdict, figures and mechanism.
        single: if all of these take one action for all flows, that explains everything ...
        then: ... in these words.
    """

    claim: str
    part: Part
    needed: tuple[str, ...]
    check: Callable[[_Systems, _Systems], _Told]
    single: tuple[str, ...]
    then: str


_EXPLORING = (
    "What differs while training is how much they explore: the pull towards the advised action "
    "keeps others likely, which costs (inferred)."
)
_CHECKS: tuple[_Check, ...] = (
    _Check(
        "A high weight of the KL term (λ = 1) converges faster but ends lower than PPO (Fig. 3).",
        "figure 3",
        ("lambda 1.0", "ppo"),
        _high_lambda,
        ("lambda 1.0", "ppo"),
        _EXPLORING,
    ),
    _Check(
        "A low weight (λ = 0.1) ends as high as PPO (Fig. 3).",
        "figure 3",
        ("lambda 0.1", "ppo"),
        _low_lambda,
        ("lambda 0.1", "ppo"),
        _EXPLORING,
    ),
    _Check(
        "With annealed λ, PPO-KG starts lower and then overtakes PPO (Fig. 4).",
        "main",
        ("ppo-kg", "ppo"),
        _annealing,
        ("ppo-kg", "ppo"),
        _EXPLORING,
    ),
    _Check(
        "Cloning the advice first fixes Benign and lifts the average (Table IV).",
        "main",
        ("ppo-kg-pt", "ppo-kg"),
        _cloning,
        ("ppo-kg-pt", "ppo-kg"),
        "What was cloned did not last: reinforcement learning goes on from it with a state whose "
        "raw counts grow into the thousands (inferred).",
    ),
    _Check(
        "Where detection is right, all knowledge-infused systems beat PPO (Fig. 5).",
        "main",
        ("ppo", *_INFUSED),
        _when_right,
        ("ppo",),
        "It is correct as often as that action is the best one; systems that learn more are above.",
    ),
    _Check(
        "Where detection is wrong, they do worse than PPO (Fig. 5).",
        "main",
        ("ppo", *_INFUSED),
        _when_wrong,
        ("ppo",),
        "Not listening to the detector pays where it is wrong: the paper explains its PPO in the "
        "same way.",
    ),
    _Check(
        "The supervised network (DL) is the worst, whether detection is right or wrong (Fig. 5).",
        "main",
        ("dl", "ppo", *_INFUSED),
        _worst,
        ("dl",),
        "Going for the majority is also what the paper says of its DL.",
    ),
)
