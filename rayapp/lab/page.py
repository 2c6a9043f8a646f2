"""One HTML page about a comparison of runs: who earned what, how they learnt, the graph.

The page is a single file that needs no network and no JavaScript. This file knows what
the page says; the frame around it is ``page.html``, the curves are drawn in ``curves``
and the graph in ``kg_actor.drawing``. All figures come from the runs and their scorecards.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from envs import InputError, Scenario
from envs.files import replacing
from envs.score import Score, Scorecard
from kg_actor import KnowledgeGraph, to_networkx
from kg_actor.drawing.files import inline_svg
from kg_actor.drawing.picture import Picture
from kg_actor.drawing.selection import sketch
from kg_actor.view import ACTION, CONFUSED, EARNED, PREDICTS, SIGNATURE, TYPE
from rayapp.config import TrainingSettings, flat
from rayapp.lab import curves
from rayapp.lab.recipes import prepare_command
from rayapp.lab.wording import joined, percent, reward_text
from rayapp.runs.folder import RunFolder, RunManifest

_PAPER_NODES, _PAPER_EDGES, _PAPER_SIGNATURES = 1306, 1382, 1451
"""The paper's graph after training (section III-B) and the number of its signatures."""


def write_page(path: Path, folders: dict[str, RunFolder], cards: dict[str, Scorecard]) -> Path:
    """Writes the page.

    Args:
        path: of the HTML file.
        folders: finished runs on one scenario, by the name the page calls them.
        cards: their scorecards on that scenario's test flows, by the same names.

    Returns:
        ``path``.

    Raises:
        InputError: the runs are of different scenarios, one is unreadable, or the file
            cannot be written.
        ValueError: no runs, or runs and scorecards have different names.
    """
    if not folders or folders.keys() != cards.keys():
        raise ValueError("every run needs a scorecard, every scorecard a run, and one is needed")
    manifests = {name: folder.manifest() for name, folder in folders.items()}
    if len({manifest.fingerprint for manifest in manifests.values()}) > 1:
        raise InputError(
            "the runs were trained on different scenarios",
            where=", ".join(str(folder.path) for folder in folders.values()),
            expected="runs of one scenario, so that their rewards can be compared",
        )
    scenario = next(iter(folders.values())).scenario()
    template = Template(
        resources.files("rayapp.lab").joinpath("page.html").read_text(encoding="utf-8")
    )
    text = template.substitute(
        title=escape(f"Mitigating detected attacks: {' and '.join(folders)}"),
        badge=_badge(scenario),
        summary=_summary(manifests, cards, scenario),
        scorecard=_scorecard(cards),
        curves=_curves(folders, manifests, scenario),
        graph=_graph(folders, manifests),
        commands=_commands(manifests, scenario),
        settings=_settings(manifests, scenario),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _badge(scenario: Scenario) -> str:
    if scenario.synthetic:
        said = "Synthetic flows: generated, not recorded from a network"
        return f'<p class="kind synthetic">{said}</p>'
    return f'<p class="kind">Data: {_flows(scenario)}</p>'


def _flows(scenario: Scenario) -> str:
    if scenario.synthetic:
        return "synthetic flows, drawn from a statistical model"
    return f"network flows of the data set {scenario.kind}"


def _summary(
    manifests: dict[str, RunManifest], cards: dict[str, Scorecard], scenario: Scenario
) -> str:
    first = next(iter(cards.values()))
    amounts = {name: f"{manifest.flows:,}" for name, manifest in manifests.items()}
    trained = joined([f"{name} on {flows}" for name, flows in amounts.items()])
    if len(set(amounts.values())) == 1:
        trained = f"{'each' if len(cards) > 1 else 'it'} on {next(iter(amounts.values()))}"
    sentences = [
        f"{joined(list(cards))} learnt which mitigation to choose for a detected attack, {trained} "
        f"flows drawn again and again from {scenario.manifest['flows']['train']:,}.",
        f"The score is on {first.flows:,} test flows kept apart from training: "
        f"{_flows(scenario)}, {first.misdetected:,} of them "
        f"({_share(first.misdetected, first.flows)}) put into the wrong class by the detector.",
        f"A flow earns from {reward_text(scenario.catalogue.lowest_reward, 0)} (unfit action) to "
        f"{reward_text(scenario.catalogue.highest_reward, 0)} (the best one for its true class).",
        _ranking({n: c.score.average_reward for n, c in cards.items()}, "Per flow"),
        _ranking(
            {n: c.score.class_mean_reward for n, c in cards.items()},
            "In the mean over classes, where rare attacks count as much as common traffic",
        ),
        _against_bounds(cards),
    ]
    if len(cards) > 1:
        sentences.append(
            "These are single runs; how far the result depends on the seed cannot be seen here."
        )
    return escape(" ".join(sentences))


def _ranking(rewards: dict[str, float], where: str) -> str:
    """Who earned how much, best first; what rounds to the same counts as the same."""
    ranked = sorted(rewards.items(), key=lambda item: -item[1])
    (best, most), rest = ranked[0], ranked[1:]
    if not rest:
        return f"{where}, {best} earned {reward_text(most)}."
    if all(reward_text(reward) == reward_text(most) for _, reward in rest):
        level = joined([name for name, _ in ranked])
        return f"{where}, {level} came out level at {reward_text(most)}."
    others = joined([f"{name} {reward_text(reward)}" for name, reward in rest])
    ahead = most - rest[0][1]
    lead = f", a lead of {reward_text(ahead)}" if reward_text(ahead) != reward_text(0) else ""
    return f"{where}, {best} earned {reward_text(most)} and {others}{lead}."


def _against_bounds(cards: dict[str, Scorecard]) -> str:
    first = next(iter(cards.values()))
    bound, rule = first.signature_oracle.average_reward, first.predicted_class.average_reward
    short = joined(
        [
            f"{name} is {reward_text(bound - card.score.average_reward)}"
            for name, card in cards.items()
        ]
    )
    return (
        "No policy that sees only the signature can earn more than "
        f"{reward_text(bound)} per flow here ({short} below that); always taking the best action "
        f"for the class that the detector predicts earns {reward_text(rule)}."
    )


def _scorecard(cards: dict[str, Scorecard]) -> str:
    first = next(iter(cards.values()))
    scores = [card.score for card in cards.values()]
    bounds = [first.predicted_class, first.signature_oracle]
    heads = [*cards, "best action for the predicted class", "best action per signature"]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    classes = "".join(
        _row(name, f"{count:,}", *_rewards(scores, bounds, name, 3))
        for name, count in first.flows_per_class.items()
    )
    means = _row(
        "average per flow",
        f"{first.flows:,}",
        [score.average_reward for score in scores],
        [score.average_reward for score in bounds],
        4,
    ) + _row(
        "mean over classes",
        "",
        [score.class_mean_reward for score in scores],
        [score.class_mean_reward for score in bounds],
        4,
    )
    return (
        '<div class="wide" role="region" aria-label="Scorecard" tabindex="0"><table>'
        f'<thead><tr><th scope="col">true class</th>{head}<th scope="col">test flows</th></tr>'
        f"</thead><tbody>{classes}</tbody><tbody>{means}</tbody>"
        f"<tbody>{_correct_rows(cards)}</tbody></table></div>"
        '<p class="soft">Bold: the highest of the runs, where they differ. Top action: share of '
        "flows that got the highest-ranked action of their true class. The grey columns are "
        "yardsticks. Best action per signature is chosen with the labels of these very flows: "
        "its average per flow cannot be beaten by a policy that acts by signature, though single "
        "classes and the mean over classes can.</p>"
    )


def _rewards(
    scores: list[Score], bounds: list[Score], name: str, digits: int
) -> tuple[list[float], list[float], int]:
    return [s.per_class[name] for s in scores], [s.per_class[name] for s in bounds], digits


def _row(title: str, flows: str, runs: list[float], bounds: list[float], digits: int) -> str:
    shown = [reward_text(reward, digits) for reward in runs]
    top = reward_text(max(runs), digits)
    differ = len(set(shown)) > 1
    cells = [
        f'<td class="best">{text}</td>' if differ and text == top else f"<td>{text}</td>"
        for text in shown
    ] + [f'<td class="bound">{reward_text(reward, digits)}</td>' for reward in bounds]
    return f'<tr><th scope="row">{escape(title)}</th>{"".join(cells)}<td>{flows}</td></tr>'


def _correct_rows(cards: dict[str, Scorecard]) -> str:
    first = next(iter(cards.values()))
    rows = (
        ("top action, all flows", "all", first.flows),
        ("… where detection was right", "detected_correctly", first.flows - first.misdetected),
        ("… where detection was wrong", "misdetected", first.misdetected),
    )
    text = ""
    for title, key, flows in rows:
        shares = [getattr(card.correct_action, key) for card in cards.values()]
        cells = "".join(
            f"<td>{'–' if share is None else f'{100 * share:.2f} %'}</td>" for share in shares
        )
        text += (
            f'<tr><th scope="row">{title}</th>{cells}'
            f'<td class="bound"></td><td class="bound"></td><td>{flows:,}</td></tr>'
        )
    return text


def _curves(
    folders: dict[str, RunFolder], manifests: dict[str, RunManifest], scenario: Scenario
) -> str:
    runs = {name: folder.progress() for name, folder in folders.items()}
    low, _ = curves.closing_range(runs)
    whole = "Average training reward per iteration, over the whole training."
    close = (
        f"The same from {reward_text(low, 3)} upwards, the range of the second half of training."
    )
    blocks = [
        "<p>Rewards earned while learning, exploration included, on training flows; the test "
        "flows above are others. The x-axis counts flows (episodes of one step).</p>",
        '<div class="pair">',
        _figure(curves.average_reward(runs), "reward", whole),
        _figure(curves.average_reward(runs, closely=True), "reward-close", close),
        "</div>",
    ]
    met = {name for lines in runs.values() for line in lines for name in line.class_reward}
    blocks.append("<h3>By true class</h3>")
    blocks.append('<div class="small">')
    for i, name in enumerate(n for n in scenario.catalogue.class_names if n in met):
        label = f"Average training reward of class {name} against flows"
        blocks.append(
            inline_svg(
                curves.class_reward(runs, name, scenario.catalogue),
                f"class{i}",
                f"{label}: {joined(list(runs))}",
            )
        )
    blocks.append(
        f'</div><p class="soft">Colours and dashes as above: {escape(joined(list(runs)))}.</p>'
    )
    for i, (name, manifest) in enumerate(manifests.items()):
        # The advisor alone learns nothing that could be held to advice.
        if manifest.settings.algorithm.has_lambda:
            blocks.append(_knowledge_curves(name, folders[name], manifest, f"kl{i}"))
    return "\n".join(blocks)


def _knowledge_curves(name: str, folder: RunFolder, manifest: RunManifest, gid: str) -> str:
    lines = folder.progress()
    direction = manifest.settings.kl.direction.replace("_", " ")
    weight = f"λ, the weight of the reference policy in {name}'s loss, per iteration."
    distance = f"KL divergence, {direction}, before the weight, per iteration."
    return (
        f"<h3>How closely {escape(name)} is held to the graph’s advice</h3>"
        '<div class="pair">'
        + _figure(curves.learner_metric(lines, "lambda", "λ"), f"{gid}-lambda", weight)
        + _figure(curves.learner_metric(lines, "reference_kl", "KL"), f"{gid}-kl", distance)
        + "</div>"
    )


def _figure(figure: Figure, gid: str, caption: str) -> str:
    svg = inline_svg(figure, gid, caption)
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _graph(folders: dict[str, RunFolder], manifests: dict[str, RunManifest]) -> str:
    names = [name for name, m in manifests.items() if m.settings.algorithm.advised]
    if not names:
        return ""
    graph = folders[names[-1]].graph()
    part = sketch(graph)
    svg = inline_svg(
        Picture(part).figure, "graph", f"Knowledge graph of {names[-1]}. {part.caption}"
    )
    return (
        f"<section><h2>What {escape(names[-1])} knows: its knowledge graph</h2>"
        '<figure><div class="wide graph" role="region" aria-label="Knowledge graph" tabindex="0">'
        f"{svg}</div><figcaption>{escape(_graph_size(graph))} {escape(part.caption)}"
        "</figcaption></figure></section>"
    )


def _graph_size(graph: KnowledgeGraph) -> str:
    view = to_networkx(graph)
    nodes = Counter(data["kind"] for _, data in view.nodes(data=True))
    edges = Counter(data["kind"] for *_, data in view.edges(data=True))
    return (
        f"The whole graph has {view.number_of_nodes():,} nodes ({nodes[TYPE]:,} traffic types, "
        f"{nodes[ACTION]:,} actions, {nodes[SIGNATURE]:,} signatures that matched a flow) and "
        f"{view.number_of_edges():,} edges ({edges[EARNED]:,} type to action, "
        f"{edges[PREDICTS]:,} signature to type, {edges[CONFUSED]:,} misdetections, one per "
        "signature and actual type). "
        f"The paper's had {_PAPER_NODES:,} nodes and {_PAPER_EDGES:,} edges. They differ because "
        f"nodes are mostly signatures, of which this scenario's detector has "
        f"{len(graph.predicted):,} and the paper's {_PAPER_SIGNATURES:,}, and because edges grow "
        "with signatures, misdetections and actions tried."
    )


def _commands(manifests: dict[str, RunManifest], scenario: Scenario) -> str:
    lines = [prepare_command(scenario)]
    for name, manifest in manifests.items():
        lines.append(_train_command(name, manifest.settings))
    lines += [shlex.join(["kirl", "evaluate", "--run", name]) for name in manifests]
    return f"<pre><code>{escape(chr(10).join(lines))}</code></pre>"


def _train_command(name: str, settings: TrainingSettings) -> str:
    words = ["kirl", "train", "--scenario", "scenario", "--algo", settings.algo]
    words += ["--flows", str(settings.total_flows(0)), "--seed", str(settings.seed)]
    if settings.runners:
        words += ["--runners", str(settings.runners)]
    named = {"algo", "flows", "passes", "seed", "runners"}
    standard = flat(TrainingSettings(algo=settings.algo).model_dump(mode="json"))
    for key, value in flat(settings.model_dump(mode="json")).items():
        if key not in named and value != standard[key]:
            words += ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join([*words, "--out", name])


def _settings(manifests: dict[str, RunManifest], scenario: Scenario) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in scenario.manifest["versions"].items())
    facts = (
        f"<p>Scenario fingerprint <code>{escape(scenario.fingerprint)}</code>; "
        f"{scenario.manifest['signatures']:,} signatures; prepared with {escape(versions)}.</p>"
    )
    for name, manifest in manifests.items():
        text = json.dumps(manifest.settings.model_dump(mode="json"), indent=2)
        facts += (
            f"<p>{escape(name)}: run <code>{escape(manifest.name)}</code>, "
            f"{manifest.flows:,} flows in {manifest.seconds:,.1f} s of training.</p>"
            f"<pre><code>{escape(text)}</code></pre>"
        )
    return facts


def _share(part: int, whole: int) -> str:
    return percent(part / whole)
