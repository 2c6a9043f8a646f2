"""The main results in a few sentences, computed from the trials."""

from __future__ import annotations

from rayapp.lab.reproduction import paper
from rayapp.lab.reproduction.findings import findings
from rayapp.lab.reproduction.plan import SYSTEMS, Label
from rayapp.lab.reproduction.results import BOUNDS, Results, SystemResult
from rayapp.lab.reproduction.systems import SETTINGS, shown
from rayapp.lab.reproduction.tables import first_card
from rayapp.lab.wording import joined, reward_text, signed, times

_RARE = ("SSH-Patator", "FTP-Patator", "Web")
"""The classes on which the paper's systems did worst, beside Infiltration."""


def summary(results: Results) -> list[str]:
    """Paragraphs: what each label's systems earned, and how many findings appear."""
    said = [_earned(results, label) for label in results.labels]
    return [one for one in said if one] + [_found(results)]


def _earned(results: Results, label: Label) -> str:
    systems = {n: s for n, s in results.of(label, "main").items() if n in SYSTEMS}
    if not systems:
        return ""
    sentences = [f"With {SETTINGS[label]}, {_each(systems, label)}."]
    best = max(systems, key=lambda name: systems[name].class_mean.mean)
    system = systems[best]
    average, mean = system.against(lambda card: card.predicted_class)
    sentences.append(
        f"In the mean over classes, where rare attacks count as much as common traffic, "
        f"{shown(best)} is first with {reward_text(system.class_mean.mean, 3)}, "
        f"{signed(mean.mean, 3)} against acting on the predicted class"
        f" (average per flow: {signed(average.mean, 3)})."
    )
    sentences.append(_rare(systems, best))
    return " ".join(one for one in sentences if one)


def _each(systems: dict[str, SystemResult], label: Label) -> str:
    told = []
    for name, system in systems.items():
        text = f"{shown(name)} {reward_text(system.average.mean, 3)}"
        if label == "paper" and name in paper.TABLE_4:
            text += f" (paper {reward_text(paper.TABLE_4[name]['average'], 2)})"
        told.append(text)
    return f"the average reward per test flow is {joined(told)}"


def _rare(systems: dict[str, SystemResult], best: str) -> str:
    if "ppo" not in systems or best == "ppo":
        return ""
    told = []
    for name in _RARE:
        own, plain = systems[best].of_class(name), systems["ppo"].of_class(name)
        if own and plain:
            against = reward_text(plain.mean, 2)
            told.append(f"{reward_text(own.mean, 2)} on {name} (PPO {against})")
    return f"It earns {joined(told)}." if told else ""


def _found(results: Results) -> str:
    told = []
    for label in results.labels:
        verdicts = [finding.appears for finding in findings(results, label)]
        counts = [(word, verdicts.count(word)) for word in ("yes", "partly", "no")]
        unknown = len(verdicts) - sum(count for _, count in counts)
        text = (
            f"with {SETTINGS[label]}, {counts[0][1]} of the paper's {len(verdicts)} findings "
            f"appear, {counts[1][1]} in part, and {counts[2][1]} do not"
        )
        told.append(text + (f" ({unknown} cannot be told)" if unknown else ""))
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def scope(results: Results) -> str:
    """How many flows, trainings, seeds and splits stand behind the figures."""
    card, scenario = first_card(results), results.scenarios[0]
    most = max(len(system.trials) for system in results.systems.values())
    splits = len(results.scenarios)
    flows = scenario.manifest["flows"]
    predicted, oracle = (results.bound(which)[0].mean for which in BOUNDS.values())
    return (
        f"{scenario.manifest['source']['rows_read']:,} rows were read; {flows['train']:,} flows "
        f"are for training, {flows['test']:,} for the test, of which the detector puts "
        f"{card.misdetected:,} into the wrong class. Each system was trained "
        f"{'once' if most == 1 else times(most, 'time')}, with "
        f"{times(-(-most // splits), 'seed')} on {times(splits, 'split')} of the flows. "
        "A flow earns from −5 (unfit action) to 5 (the best one for its true class). Acting "
        f"on the class that the detector predicts earns {reward_text(predicted)} per flow; no "
        f"policy that sees only the signature can earn more than {reward_text(oracle)}."
    )
