"""What is weak about a new scenario: duplicates, and classes that teach nothing."""

from __future__ import annotations

from typing import Any

from rayapp.commands import console


def tell_weaknesses(manifest: dict[str, Any]) -> None:
    """Prints a scenario's duplicates and warnings on the error stream.

    Args:
        manifest: of the scenario.
    """
    twice = manifest.get("duplicates", {})
    if twice.get("removed"):
        console.say(f"{twice['removed']:,} flows that equal an earlier one were left out.")
    elif twice.get("rows"):
        console.say(_duplicates(manifest, twice["rows"], twice["test_rows_in_train"]))
    for warning in manifest.get("warnings", ()):
        console.say(f"Warning: {warning}")


def _duplicates(manifest: dict[str, Any], rows: int, met: int) -> str:
    flows, tested = sum(manifest["classes"].values()), manifest["flows"]["test"]
    told = f"{rows:,} of {flows:,} flows equal an earlier one"
    if met:
        told += (
            f", and {met:,} of {tested:,} test flows equal a training flow ({met / tested:.1%}): "
            "scores on these say little"
        )
    return f"{told}. Add --deduplicate to leave them out before the split."
