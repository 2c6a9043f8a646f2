"""What the documentation site adds to the pages: notebooks, commands and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for every notebook; the notebook itself stays there to be downloaded."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            source = Path(config.docs_dir, file.src_uri)
            target = str(Path(file.src_uri).with_suffix(".md"))
            files.append(File.generated(config, target, content=_notebook(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in what the program itself knows, and leads links to notebooks to their pages."""
    del config, files
    match page.file.src_uri:
        case "commands.md":
            return markdown.replace("<!-- commands -->", _commands())
        case "settings.md":
            return markdown.replace("<!-- settings -->", _settings())
    return markdown.replace(".ipynb)", ".md)")


def _notebook(path: Path) -> str:
    """The notebook as Markdown: text, code, and outputs that are text."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            text = output.get("text") or output.get("data", {}).get("text/plain")
            if text:
                parts.append(f"```text\n{text.rstrip()}\n```")
    parts.append(f"[Download this notebook]({path.name}){{ download }}")
    return "\n\n".join(parts)


def _commands() -> str:
    from rayapp.__main__ import app

    return "\n".join(_command(("kirl",), typer.main.get_command(app)))


def _command(name: tuple[str, ...], command: object) -> list[str]:
    if isinstance(command, TyperGroup):
        return [
            line
            for child in sorted(command.commands)
            for line in _command((*name, child), command.commands[child])
        ]
    assert isinstance(command, TyperCommand)
    lines = [f"## {' '.join(name)}", "", command.help or "", ""]
    if command.epilog:
        lines += ["```", command.epilog.removeprefix("Example: "), "```", ""]
    lines += ["| | |", "|---|---|"]
    for parameter in command.params:
        if isinstance(parameter, TyperArgument | TyperOption) and not parameter.hidden:
            lines.append(f"| `{_spelled(parameter)}` | {_cell(parameter.help or '')} |")
    return [*lines, ""]


def _spelled(parameter: TyperArgument | TyperOption) -> str:
    if isinstance(parameter, TyperArgument):
        return str(parameter.name).upper()
    return " / ".join([*parameter.opts, *parameter.secondary_opts])


def _settings() -> str:
    """The algorithms, the settings of ppo-kg, and those that other algorithms have instead."""
    usual = _asked()
    lines = ["## Algorithms", "", "| `--algo` | |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(about)} |" for name, about in usual["algorithms"].items()]
    seen = []
    for algo in ("ppo-kg", *usual["algorithms"]):
        asked = _asked("--algo", algo)
        for group, about in asked["groups"].items():
            rows = [
                f"| `{one['key']}` | `{one['default']}` | {_cell(one['about'])} |"
                for one in asked["settings"]
                if one["key"].rpartition(".")[0].partition(".")[0] == group
            ]
            if rows in seen:
                continue
            seen.append(rows)
            title = f"{group} of {algo}" if group == "learning" else group or "A training"
            lines += ["", f"## {title}", "", about, "", "| | default | |", "|---|---|---|", *rows]
    return "\n".join(lines)


def _asked(*options: str) -> dict[str, Any]:
    from rayapp.__main__ import app

    done = CliRunner().invoke(app, ["settings", *options, "--json"], catch_exceptions=False)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
