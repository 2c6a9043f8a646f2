"""A remark under each table and figure: what agrees with the paper, what does not, and why."""

from __future__ import annotations

from rayapp.lab.reproduction import paper
from rayapp.lab.reproduction.comparison import closing_reward, compare
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.figures import correct_actions
from rayapp.lab.reproduction.plan import SYSTEMS, Label
from rayapp.lab.reproduction.results import Results
from rayapp.lab.reproduction.single import one_action
from rayapp.lab.reproduction.systems import SETTINGS, shown
from rayapp.lab.wording import joined, percent, reward_text, times

NEAR = 0.1
"""Rewards nearer to the paper's than this count as agreeing."""


def on_rewards(results: Results, label: Label) -> str:
    """Under Table IV."""
    agree: list[tuple[float, str]] = []
    differ: list[tuple[float, str]] = []
    for name, system in results.of(label, "main").items():
        for one, theirs in paper.TABLE_4.get(name, {}).items():
            own = system.average if one == "average" else system.of_class(one)
            if own is not None:
                told = f"{shown(name)} on {one} ({reward_text(own.mean, 2)} here)"
                near = abs(own.mean - theirs) <= NEAR
                (agree if near else differ).append((abs(own.mean - theirs), told))
    if not agree and not differ:
        return ""
    stuck = _stuck(results, label)
    worst = joined([told for _, told in sorted(differ, reverse=True)[:3]])
    text = (
        f"{len(agree)} of the paper's {len(agree) + len(differ)} figures are within "
        f"{NEAR:g} of ours"
    )
    text += f"; furthest off are {worst}. " if differ else ". "
    text += stuck
    if not differ:
        return text
    if label == "paper":
        return text + (
            "Likely reasons (inferred): which action a network settles on depends on its seed and "
            "on how many flows an update takes, since PPO stops trying actions it has saturated "
            "away from; and the state holds raw counts that grow into the thousands, to which a "
            "small unscaled network is sensitive. The paper gives single runs and neither of "
            "those choices."
        )
    return text + (
        "These are other settings than the paper's on purpose: signatures get a learnt vector "
        "and counts their logarithm, rare classes count more in the loss, and the KL term is "
        "turned around, so that it keeps its gradient for actions given up."
    )


def _stuck(results: Results, label: Label) -> str:
    """Which systems take one action whatever is detected, and that the paper's PPO did too."""
    catalogue = results.scenarios[0].catalogue
    found = {n: one_action(s, catalogue) for n, s in results.of(label, "main").items()}
    by_action: dict[str, list[str]] = {}
    for name, action in found.items():
        if action:
            by_action.setdefault(action, []).append(shown(name))
    if not by_action:
        return ""
    told = joined([f"{joined(names)} ('{action}')" for action, names in by_action.items()])
    return (
        f"Whatever is detected, one action is taken for all flows by {told}; the paper's PPO earns "
        "what 'Filter Network Traffic' alone would. "
    )


def on_detection(results: Results) -> str:
    """Under Table V."""
    lower = []
    for name, theirs in paper.TABLE_5.items():
        found = [s.manifest["detection"].get(name) for s in results.scenarios]
        f1 = [100 * one["f1"] for one in found if one]
        if f1 and sum(f1) / len(f1) < theirs[2] - 1:
            lower.append(name)
    signatures = results.scenarios[0].manifest["signatures"]
    text = (
        f"F1 is more than one point below the paper's on {joined(lower)}. "
        if lower
        else "F1 is at most one point below the paper's on every class. "
    )
    rows = results.scenarios[0].manifest["source"]["rows_read"]
    return text + (
        f"The detector has {signatures:,} signatures from {rows:,} rows, the paper's has "
        f"{paper.SIGNATURES:,} from the whole of CICIDS2017; classes with few flows depend most "
        "on which of them the split puts where."
    )


def on_weights(results: Results, label: Label) -> str:
    """Under Fig. 3."""
    given = results.of(label, "figure 3")
    told = []
    for name in ("lambda 1.0", "lambda 0.1"):
        end = compare(given[name], given["ppo"], closing_reward) if name in given else None
        if end is None:
            continue
        where = {"higher": "above", "lower": "below", "level": "level with"}.get(
            end.direction, "sometimes above, sometimes below"
        )
        told.append(f"{shown(name)} ends {where} PPO ({_pair(end.one, end.other)})")
    if not told:
        return ""
    return (
        f"{joined(told)}. In the paper λ = 1 ends slightly below PPO, λ = 0.1 level with it. "
        f"{_DIRECTION[label]} Findings 1 and 2 below say why."
    )


_DIRECTION: dict[Label, str] = {
    "paper": "The KL term is KL(policy to reference), as in eq. 5.",
    "kirl": "The KL term is KL(reference to policy), the reverse of eq. 5.",
}


def on_annealing(results: Results, label: Label) -> str:
    """Under Fig. 4."""
    main = results.of(label, "main")
    if "ppo" not in main or "ppo-kg" not in main:
        return ""
    end = compare(main["ppo-kg"], main["ppo"], closing_reward)
    if end is None:
        return ""
    where = {
        "higher": "ends above PPO, as in the paper",
        "lower": "ends below PPO, other than in the paper",
        "level": "ends level with PPO, where the paper's ends above",
        "unclear": "ends now above, now below PPO, depending on the trial",
    }[end.direction]
    return f"PPO-KG {where} ({_pair(end.one, end.other)}). Finding 3 below says why."


def on_correct_actions(results: Results, label: Label) -> str:
    """Under Fig. 5."""
    shares = {n: correct_actions(s) for n, s in results.of(label, "main").items() if n in SYSTEMS}
    told = []
    for place, word in enumerate(("right", "wrong")):
        given = {n: pair[place] for n, pair in shares.items()}
        means = {n: share.mean for n, share in given.items() if share}
        if means:
            best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
            told.append(
                f"where it was {word}, {shown(best)} is best ({percent(means[best], 1)}) and "
                f"{shown(worst)} worst ({percent(means[worst], 1)})"
            )
    if not told:
        return ""
    text = joined(told)
    return (
        f"{text[0].upper()}{text[1:]}. The paper finds PPO-KG-PT best overall, DL worst, and PPO "
        "best where detection is wrong; it gives Fig. 5 as a drawing alone, with LLM-KG above "
        "98 % where detection is right. Findings 5 to 7 below compare."
    )


def on_convergence(results: Results) -> str:
    """Under the table of flows and seconds."""
    return (
        "Counted is the first time that the latest 65,536 flows or more earned, exploration "
        "included, 99 % of what acting on the predicted class earns on the training flows, with "
        "all classes among them for the class mean; the median over trials, one that never gets "
        "there counting as later than all. The class mean is harder, since "
        "each rare class weighs as much as Benign. LLM-KG trains no network: its curve is the "
        "graph filling up; of PPO-KG-PT's, what the model decides before cloning does not count. "
        "An epoch of DL is one iteration, evaluated without exploration. "
        "Seconds include graph and advice; trainings ran side by side and share one language "
        "model, which answers at once what any of them asked before. The paper gives no such "
        "figures."
    )


def on_graph(results: Results) -> str:
    """Under the graph's size."""
    signatures = results.scenarios[0].manifest["signatures"]
    left = paper.GRAPH_EDGES - (paper.GRAPH_NODES - 8 - 15)
    return (
        "Nodes are the 8 traffic types, the 15 actions and every signature that matched a flow: "
        f"this scenario's detector has {signatures:,}, the paper's {paper.SIGNATURES:,}. Edges "
        "are one per signature to its predicted type, one per type and action tried on it, and "
        "one per signature and class that it was mistaken for. If the paper's nodes are made up "
        f"in the same way, only {left} of its edges are left for actions and misdetections, so it "
        "explored few actions per type, or counts a misdetection once per pair of types "
        "(inferred)."
    )


def on_costs(costs: Costs) -> str:
    """Under the cost per decision."""
    loop, policy = costs.in_the_loop.median, costs.policy.median
    return (
        f"Asking the language model about every flow takes {loop / policy:,.0f} times as long as "
        f"the policy alone here, {paper.IN_THE_LOOP_SECONDS / paper.POLICY_SECONDS:,.0f} times in "
        f"the paper ({paper.LANGUAGE_MODEL_SECONDS:g} s of its "
        f"{paper.IN_THE_LOOP_SECONDS:g} s are the model's inference). The times themselves cannot "
        "be compared: the paper ran Phi-3.5-mini in 32-bit floats on an RTX 3090, this is "
        f"another machine and another model, {costs.model}. Advice kept from training makes "
        "the infused policy as cheap as the plain one, which is how kirl decides."
    )


def on_ablation(results: Results, label: Label) -> str:
    """Under the ablations."""
    trials = len(results.of(label, "main")["ppo-kg"].trials)
    what = (
        "with one ingredient changed at a time"
        if label == "kirl"
        else "with what may keep it from learning taken out: a gradient that vanishes once the "
        "policy has saturated (KL(policy to reference)), and raw counts as its state"
    )
    return (
        f"PPO-KG in {SETTINGS[label]} {what}, over "
        f"{times(trials, 'trial')}. A difference in bold has an interval that leaves out 0"
        + (
            "; with so few trials an interval is too short to be taken at its word."
            if trials > 1
            else "; from one trial it may be chance."
        )
    )


def _pair(one: float, other: float) -> str:
    return f"{reward_text(one, 3)} against {reward_text(other, 3)}"
