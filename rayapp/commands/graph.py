"""``kirl graph``: query, draw, export, compare and teach a knowledge graph.

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
from kg_actor import Lesson, neighbourhood, queries, store
from kg_actor.diff import difference
from kg_actor.export import Format, export
from kg_actor.lesson_files import DEFAULT_WEIGHT, read_lessons
from kg_actor.neighbourhood import neighbourhoods, type_neighbourhood
from rayapp.commands import console
from rayapp.commands import graph_tables as tables
from rayapp.runs import graphs
from rayapp.runs.folder import RunFolder
from rayapp.runs.graphs import GraphSource, as_input_error

app = typer.Typer(
    help="Query, draw, export, compare and teach a knowledge graph.", no_args_is_help=True
)

Source = Annotated[str, typer.Argument(help=f"Name the graph: {graphs.EXPECTED}.")]
Address = Annotated[
    str | None,
    typer.Option(help="Find a live graph on this Ray cluster (default: the one in RAY_ADDRESS)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def stats(source: Source, address: Address = None, as_json: AsJson = False) -> None:
    """Show how large a graph is, what went into it, and who taught it."""
    with find_source(source, address) as found:
        result = queries.stats(found.graph)
    if as_json:
        console.print_json({**queries.to_json(result), "kind": found.spec.kind})
        return
    console.out.print(tables.stats(f"{source} ({found.spec.kind})", result))
    console.out.print(tables.stats_line(result))


def query(
    source: Source,
    signature: Annotated[
        int | None, typer.Option(help="Show the records around the signature with this id.")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(help="Show the records around the traffic type of this name.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="List this many best actions for every traffic type.")
    ] = None,
    error_prone: Annotated[
        int | None, typer.Option(help="List this many signatures with the most misdetected flows.")
    ] = None,
    history: Annotated[
        int | None,
        typer.Option(help="Show how the confidence of the signature with this id changed."),
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(help="List the signatures whose records changed after this graph version."),
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Answer one question about a graph; give exactly one of the six question options."""
    questions: dict[str, tuple[Any, Callable[[GraphSource], Any], Callable[[Any], Table]]] = {
        "--signature": (
            signature,
            lambda found: neighbourhood(found.graph, signature or 0),
            tables.signature,
        ),
        "--traffic": (
            traffic,
            lambda found: type_neighbourhood(found.graph, traffic or ""),
            tables.traffic_type,
        ),
        "--top": (top, lambda found: queries.top_actions(found.graph, top or 0), tables.top),
        "--error-prone": (
            error_prone,
            lambda found: _error_prone(found, error_prone or 0),
            tables.error_prone,
        ),
        "--history": (history, lambda found: found.history(history or 0), tables.history),
        "--since": (since, lambda found: neighbourhoods(found.graph, since), tables.changed),
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


def _error_prone(found: GraphSource, number: int) -> tuple[queries.ErrorProne, ...]:
    answers = queries.error_prone(found.graph, number)
    if found.verdicts is None or found.rules is None:
        return answers
    return queries.of_rules(answers, found.rules, found.verdicts)


def show(
    source: Source,
    out: Annotated[
        Path, typer.Option(help="Write a page to explore (.html) or a picture (.svg, .png).")
    ] = Path("graph.html"),
    signature: Annotated[
        int | None, typer.Option(help="Draw what is connected to the signature with this id.")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(help="Draw what is connected to the traffic type of this name.")
    ] = None,
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
    out: Annotated[Path, typer.Option(help="Write to this file, or to this folder for parquet.")],
    to: Annotated[
        Format | None,
        typer.Option("--format", help="Choose the format (default: by the ending of --out)."),
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
    """Show what changed from one graph to another of the same scenario."""
    with find_source(before, address) as old, find_source(after, address) as new:
        result = difference(old.graph, new.graph)
    if as_json:
        console.print_json(queries.to_json(result))
        return
    for table in tables.diff(result):
        console.out.print(table)


def import_lessons(
    source: Source,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Read these CSV files (type, action, reward, weight, provenance) or STIX bundles."
        ),
    ] = None,
    provenance: Annotated[
        str | None,
        typer.Option(help="Attribute all lessons to this source, whatever the files say."),
    ] = None,
    withdraw: Annotated[
        str | None, typer.Option(help="Take back everything that this source taught.")
    ] = None,
    reward: Annotated[
        float | None,
        typer.Option(
            help="Give STIX relationships without numbers this mean reward per flow. The default "
            "is halfway between the best and the least reward above a miss."
        ),
    ] = None,
    weight: Annotated[
        float, typer.Option(help="Let STIX relationships without numbers count as this many flows.")
    ] = DEFAULT_WEIGHT,
    scenario: Annotated[
        Path | None, typer.Option(help="Make a new graph of this scenario, which runs can share.")
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Teach a graph the experience of an analyst or a threat feed, or withdraw it again."""
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
    """Refuses --scenario for a graph that is there already, and without files to teach."""
    path = Path(source)
    taken = path.exists() and not store.exists(path)
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
    run: Annotated[Path, typer.Argument(help="Name the folder of the run.")],
    snapshot: Annotated[
        Path | None,
        typer.Option(help="Use the graph folder of this checkpoint (default: the latest)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace a run's damaged graph by the last good snapshot; the damaged one is kept."""
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
