"""``kirl graph``: ask, see, export, compare and teach a knowledge graph.

Every command takes a SOURCE: a run's folder, a graph's own folder, the ``graph`` folder of
a checkpoint, or ``graph:NAME`` of a training that is running on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from envs import Catalogue, InputError, Scenario
from kg_actor import Lesson, folders, neighbourhood, queries
from kg_actor.diff import GraphDiff, difference
from kg_actor.export import Format, export
from kg_actor.lesson_files import DEFAULT_REWARD, DEFAULT_WEIGHT, read_lessons
from kg_actor.neighbourhood import ActionRecord, neighbourhoods, type_neighbourhood
from rayapp.commands import console
from rayapp.runs import graphs
from rayapp.runs.folder import RunFolder
from rayapp.runs.graphs import GraphSource, as_input_error

app = typer.Typer(
    help="Ask, see, export, compare and teach a knowledge graph.", no_args_is_help=True
)

Source = Annotated[str, typer.Argument(help=f"Where the graph is: {graphs.EXPECTED}.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster of a live graph (default: RAY_ADDRESS).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SignatureId = Annotated[int | None, typer.Option("--signature", help="Id of a signature.")]
TrafficName = Annotated[str | None, typer.Option("--traffic", help="Name of a traffic type.")]


def stats(source: Source, address: Address = None, as_json: AsJson = False) -> None:
    """How large a graph is, what went into it, and who taught it."""
    with find_source(source, address) as found:
        result = queries.stats(found.graph)
    if as_json:
        console.print_json({**queries.to_json(result), "kind": found.spec.kind})
        return
    table = Table(title=f"{source} ({found.spec.kind}), version {result.version:,}")
    for name in ("", "nodes", "edges", "pairs of nodes"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("traffic types", f"{result.nodes.type:,}", "", "")
    table.add_row("actions (type -> action)", f"{result.nodes.action:,}", *_edges(result, "earned"))
    table.add_row(
        "signatures (signature -> type)", f"{result.nodes.signature:,}", *_edges(result, "predicts")
    )
    table.add_row("misdetections (type -> type)", "", *_edges(result, "confused"))
    totals = (result.nodes.total, result.edges.total, result.pairs.total)
    table.add_row("all", *[f"{number:,}" for number in totals], style="bold")
    console.out.print(table)
    console.out.print(
        f"{result.flows:,} flows in {result.merges:,} tables of {result.runs:,} run(s); "
        f"{result.unseen:,} signatures never seen; {result.lessons:,} lessons"
        + (f" by {', '.join(result.sources)}" if result.sources else "")
        + (f"; half-life {result.half_life:,.0f} flows" if result.half_life else "")
    )


def query(
    source: Source,
    signature: SignatureId = None,
    traffic: TrafficName = None,
    top: Annotated[int | None, typer.Option(help="Best actions per type, so many.")] = None,
    error_prone: Annotated[
        int | None, typer.Option(help="Signatures with the most misdetected flows, so many.")
    ] = None,
    history: Annotated[
        int | None, typer.Option(help="How this signature's confidence moved.")
    ] = None,
    since: Annotated[
        int | None, typer.Option(help="Signatures whose records changed after this version.")
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question: what is known around a signature or a type, or one of the others."""
    questions: dict[str, tuple[Any, Callable[[GraphSource], Any], Callable[[Any], Table]]] = {
        "--signature": (
            signature,
            lambda found: neighbourhood(found.graph, signature or 0),
            _signature_table,
        ),
        "--traffic": (
            traffic,
            lambda found: type_neighbourhood(found.graph, traffic or ""),
            _type_table,
        ),
        "--top": (top, lambda found: queries.top_actions(found.graph, top or 0), _top_table),
        "--error-prone": (
            error_prone,
            lambda found: queries.error_prone(found.graph, error_prone or 0),
            _error_table,
        ),
        "--history": (history, lambda found: found.history(history or 0), _history_table),
        "--since": (since, lambda found: neighbourhoods(found.graph, since), _changed_table),
    }
    asked = [(ask, show) for value, ask, show in questions.values() if value is not None]
    if len(asked) != 1:
        raise InputError(
            f"{len(asked)} questions are asked",
            expected=f"one of {', '.join(questions)}",
            mend="For example: kirl graph query run --signature 17",
        )
    [(ask, show)] = asked
    with find_source(source, address) as found, as_input_error(source):
        answer = ask(found)
    if as_json:
        told = queries.to_json(answer)
        console.print_json(told if isinstance(told, dict) else {"answers": told})
    else:
        console.out.print(show(answer))


def show(
    source: Source,
    out: Annotated[
        Path, typer.Option(help="Write a page to explore (.html) or a picture (.svg, .png).")
    ] = Path("graph.html"),
    signature: SignatureId = None,
    traffic: TrafficName = None,
    address: Address = None,
) -> None:
    """Draw what is connected to a signature or a traffic type, or the part that tells most."""
    with find_source(source, address) as found:
        from kg_actor.draw import draw

        draw(
            found.graph,
            out,
            signature=signature,
            traffic=traffic,
            note=found.note,
            title=f"Knowledge graph of {source}",
            rules=found.rules,
            command=shlex.join(
                ["kirl", "graph", "show", source, *(["--address", address] if address else [])]
            ),
        )
    console.out.print(f"Drawn to {out}", soft_wrap=True)


def export_graph(
    source: Source,
    out: Annotated[Path, typer.Option(help="File, or folder for parquet, to write.")],
    to: Annotated[
        Format | None, typer.Option("--format", help="Default: by the name's ending.")
    ] = None,
    address: Address = None,
) -> None:
    """Write the graph for other tools: GraphML, node-link JSON, Parquet tables or STIX 2.1."""
    chosen = to or _format_of(out)
    with find_source(source, address) as found:
        export(found.graph, out, chosen, found.spec.fingerprint)
    console.out.print(f"Version {found.graph.version:,} written to {out} as {chosen.value}")


def diff(
    before: Source,
    after: Source,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """What changed from one graph to another of the same scenario."""
    with find_source(before, address) as old, find_source(after, address) as new:
        result = difference(old.graph, new.graph)
    if as_json:
        console.print_json(queries.to_json(result))
        return
    for table in _diff_tables(result):
        console.out.print(table)


def import_lessons(
    source: Source,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="CSV (type, action, reward, weight, provenance) or STIX bundles."),
    ] = None,
    provenance: Annotated[
        str | None, typer.Option(help="Who says so, whatever the files say.")
    ] = None,
    withdraw: Annotated[
        str | None, typer.Option(help="Take back all that this source taught.")
    ] = None,
    reward: Annotated[
        float, typer.Option(help="For STIX relationships without numbers, -5 .. 5.")
    ] = DEFAULT_REWARD,
    weight: Annotated[
        float, typer.Option(help="For the same, flows of experience.")
    ] = DEFAULT_WEIGHT,
    scenario: Annotated[
        Path | None, typer.Option(help="Make a new graph of this scenario, for runs to share.")
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Teach a graph an analyst's or a feed's experience, or withdraw it again."""
    if bool(files) == (withdraw is not None):
        raise InputError(
            "give files to import, or --withdraw", mend="kirl graph import --help has an example"
        )

    def read(catalogue: Catalogue) -> list[Lesson]:
        return [
            lesson
            for path in files or []
            for lesson in read_lessons(
                path, catalogue, provenance, default_reward=reward, default_weight=weight
            )
        ]

    lessons: list[Lesson] = []
    if scenario is not None:
        _check_new(source, withdraw)
        loaded = Scenario.load(scenario)
        # Files that cannot be used must not leave a new graph behind.
        lessons = read(loaded.catalogue)
        graphs.create(Path(source), loaded)
    with find_source(source, address) as found:
        if withdraw is not None:
            number = _withdraw(found, withdraw)
            if as_json:
                console.print_json({"withdrawn": number, "sources": [withdraw]})
            else:
                console.out.print(f"Withdrew {number:,} lessons of {withdraw}")
            return
        lessons = lessons or read(found.spec.catalogue)
        found.teach(lessons)
    sources = sorted({lesson.provenance for lesson in lessons})
    if as_json:
        console.print_json({"taught": len(lessons), "sources": sources})
        return
    console.out.print(
        f"Taught {len(lessons):,} lessons by {', '.join(sources)} to {source}", soft_wrap=True
    )


def _check_new(source: str, withdraw: str | None) -> None:
    """A new graph is made for files to be taught, in a folder of its own."""
    path = Path(source)
    taken = path.exists() and not folders.has_store(path)
    if withdraw is not None or source.startswith(graphs.LIVE) or taken:
        raise InputError(
            "--scenario makes a new graph, in a folder that is not there yet",
            where=source,
            mend="Leave --scenario out, or give a new folder and files to import",
        )


def _withdraw(found: GraphSource, provenance: str) -> int:
    number = found.withdraw(provenance)
    if not number:
        known = sorted({each.provenance for each in found.graph.lessons})
        raise InputError(
            f"nothing was taught by {provenance!r}",
            where=found.name,
            expected=f"one of {', '.join(known)}" if known else None,
        )
    return number


def restore(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    snapshot: Annotated[
        Path | None, typer.Option(help="A checkpoint's graph folder (default: the latest).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the last good snapshot in the place of a run's damaged graph."""
    found, aside = graphs.restore(RunFolder(run), snapshot)
    if as_json:
        console.print_json({"snapshot": str(found), "aside": str(aside) if aside else None})
        return
    console.out.print(
        f"The graph of {run} is that of {found} again"
        + (f"; what was there is in {aside}" if aside else ""),
        soft_wrap=True,
    )


@contextlib.contextmanager
def find_source(source: str, address: str | None) -> Iterator[GraphSource]:
    """The graph of that name, for the length of a command; a live one is reached through Ray."""
    if not source.startswith(graphs.LIVE):
        yield graphs.find(source)
        return
    if not (address or os.environ.get("RAY_ADDRESS")):
        raise InputError(
            "a live graph is on a Ray cluster",
            where=source,
            expected="the cluster's address",
            mend="Give --address or set RAY_ADDRESS",
        )
    with console.ray_session(address):
        yield graphs.find(source)


def _format_of(out: Path) -> Format:
    endings = {".graphml": Format.GRAPHML, ".parquet": Format.PARQUET, ".json": Format.NODE_LINK}
    if out.name.lower().endswith((".stix.json", ".stix")):
        return Format.STIX
    if out.suffix.lower() not in endings:
        raise InputError(
            f"{out.name!r} does not say which format",
            expected=".graphml, .json (node-link), .stix.json or .parquet",
            mend="Give --format",
        )
    return endings[out.suffix.lower()]


def _edges(result: queries.GraphStats, kind: str) -> tuple[str, str]:
    return f"{getattr(result.edges, kind):,}", f"{getattr(result.pairs, kind):,}"


def _action_rows(table: Table, actions: tuple[ActionRecord, ...]) -> None:
    for record in actions:
        taught = f"{record.taught_weight:,.0f} by {', '.join(record.sources)}"
        table.add_row(
            record.action,
            f"{record.mean_reward:.2f}",
            f"{record.count:,}",
            taught if record.sources else "",
            "left out" if record.left_out else "",
        )


def _action_table(title: str, actions: tuple[ActionRecord, ...]) -> Table:
    table = Table(title=title)
    for name in ("action", "mean reward", "flows", "taught", "filter"):
        table.add_column(name, justify="right" if name in {"mean reward", "flows"} else "left")
    _action_rows(table, actions)
    return table


def _confused(met: Any) -> str:  # noqa: ANN401 (both kinds of confusion have these fields)
    return (
        "; ".join(f"{one.count:,} were {one.actual} ({100 * one.share:.2f} %)" for one in met)
        or "none was of another type"
    )


def _signature_table(answer: Any) -> Table:  # noqa: ANN401
    title = (
        f"Signature {answer.signature}, {answer.predicted}: {answer.correct:,} of "
        f"{answer.seen:,} flows detected correctly, confidence {answer.confidence:.4f}; "
        f"{_confused(answer.confusions)}"
    )
    return _action_table(title, answer.actions)


def _type_table(answer: Any) -> Table:  # noqa: ANN401
    title = (
        f"{answer.traffic}: {answer.correct:,} of {answer.seen:,} flows detected correctly by "
        f"{len(answer.signatures):,} signatures; {_confused(answer.confusions)}"
    )
    return _action_table(title, answer.actions)


def _top_table(answers: Any) -> Table:  # noqa: ANN401
    table = _action_table("Best actions per type", ())
    for answer in answers:
        table.add_section()
        table.add_row(answer.traffic, style="bold")
        _action_rows(table, answer.actions)
    return table


def _error_table(answers: Any) -> Table:  # noqa: ANN401
    table = Table(title="Signatures with the most misdetected flows")
    for name in ("signature", "predicts", "flows", "wrong", "confidence", "mostly were"):
        table.add_column(name)
    for one in answers:
        numbers = (f"{one.seen:,}", f"{one.wrong:,}", f"{one.confidence:.4f}")
        table.add_row(str(one.signature), one.predicted, *numbers, one.actual)
    return table


def _history_table(points: Any) -> Table:  # noqa: ANN401
    table = Table(title="Confidence over time")
    for name in ("version", "flows merged", "N", "C", "confidence"):
        table.add_column(name, justify="right")
    for one in points:
        counts = (one.version, one.flows, one.seen, one.correct)
        table.add_row(*[f"{number:,}" for number in counts], f"{one.confidence:.4f}")
    return table


def _changed_table(answers: Any) -> Table:  # noqa: ANN401
    table = Table(title=f"{len(answers):,} signatures with changed records")
    for name in ("signature", "predicts", "flows", "confidence"):
        table.add_column(name)
    for one in answers:
        table.add_row(str(one.signature), one.predicted, f"{one.seen:,}", f"{one.confidence:.4f}")
    return table


def _diff_tables(result: GraphDiff) -> Iterator[Table]:
    summary = Table(title="From the first graph to the second")
    for name in ("", "before", "after"):
        summary.add_column(name)
    summary.add_row("version", *[f"{number:,}" for number in result.version])
    summary.add_row("flows", *[f"{number:,}" for number in result.flows])
    for name, lost, gained in (
        ("merges only here", result.merges_lost, result.merges_gained),
        ("edges only here", result.vanished, result.appeared),
        ("lessons only here", result.lessons_withdrawn, result.lessons_added),
    ):
        summary.add_row(name, f"{len(lost):,}", f"{len(gained):,}")
    yield summary
    moved = Table(title=f"{len(result.signatures):,} signatures counted differently")
    for name in ("signature", "predicts", "confidence before", "after"):
        moved.add_column(name)
    for one in result.signatures[:20]:
        beliefs = [f"{belief:.4f}" for belief in one.confidence]
        moved.add_row(str(one.signature), one.predicted, *beliefs)
    yield moved
    rewards = Table(title=f"{len(result.rewards):,} edges with another mean reward")
    for name in ("type", "action", "before", "after"):
        rewards.add_column(name)
    for change in result.rewards[:20]:
        means = [f"{mean:.2f}" for mean in change.mean_reward]
        rewards.add_row(change.traffic, change.action, *means)
    yield rewards


_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("stats", stats, "kirl graph stats run"),
    ("query", query, "kirl graph query run --signature 17"),
    ("show", show, "kirl graph show run --traffic DoS --out dos.html"),
    ("export", export_graph, "kirl graph export run --out graph.stix.json"),
    ("diff", diff, "kirl graph diff run-1 run-2"),
    ("import", import_lessons, "kirl graph import run experience.csv --provenance red-team"),
    ("restore", restore, "kirl graph restore run"),
)
for _name, _command, _example in _COMMANDS:
    app.command(_name, epilog=f"Example: {_example}")(_command)
