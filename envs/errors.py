"""The one exception that means "your input, not our code".

Every room raises it; the command line turns it into one message and exit code 2.
"""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used, described so that its owner can mend it.

    Args:
        what: what is wrong, as one clause without a full stop.
        where: the place: a file, then column and row where they are known.
        expected: what would have been accepted.
        mend: the next thing to do.
        below: lines to print below the message, such as a file to fill in. They are printable.

    ``str(error)`` joins the first four parts into one message.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        mend: str | None = None,
        below: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.mend = mend
        self.below = "\n".join(map(printable, below.splitlines())) if below else None
        sentences = [f"{where}: {what}" if where else what]
        if expected:
            sentences.append(f"Expected {expected}")
        if mend:
            sentences.append(mend)
        super().__init__(printable(". ".join(part.rstrip(".") for part in sentences) + "."))

    def __reduce__(self) -> tuple[object, ...]:
        # Ray carries exceptions between processes; keyword-only arguments need help.
        return (_rebuild, (self.what, self.where, self.expected, self.mend, self.below))


def printable(text: str) -> str:
    """Control characters spelled out: what is told may come from hostile files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str, limit: int = 40) -> str:
    """Text in quotes, shortened, with everything that could upset a terminal spelled out."""
    return f"'{printable(text[:limit])}{'...' if len(text) > limit else ''}'"


def _rebuild(
    what: str, where: str | None, expected: str | None, mend: str | None, below: str | None
) -> InputError:
    return InputError(what, where=where, expected=expected, mend=mend, below=below)
