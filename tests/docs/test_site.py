"""The documentation site: whole, and without a request to anybody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rayapp

REPOSITORY = Path(rayapp.__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it: a broken link or reference fails it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        # Links may lead elsewhere; what is loaded may not.
        loaded = re.findall(r"<(?:script|link|img|iframe|source)[^>]*>", page.read_text())
        assert not [tag for tag in loaded if re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag)]
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s*)[\"']?https?:", style.read_text())


def test_commands_settings_and_objects_are_those_of_the_program(site: Path) -> None:
    assert "--flows" in (site / "commands.html").read_text()
    assert "kl.start" in (site / "settings.html").read_text()
    assert "ThreatMitigationEnv" in (site / "api" / "envs.html").read_text()
