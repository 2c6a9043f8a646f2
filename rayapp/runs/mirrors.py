"""Runs and results whose home is a bucket, worked on in a local folder.

SQLite and half-written checkpoints need a local disk. So a command that writes to a URI works in
a folder of this machine's cache and *mirrors* it: it copies a run after every checkpoint, and a
folder of several runs now and then. What is mirrored is always a run as it was at a checkpoint,
since ``run.json``, which names the checkpoint that counts, is written last.

``mirror.json`` in the folder names its home in the bucket and the worker, the process that works
on it. The bucket holds the name of the latest worker. A process that finds another name there
stops, so two machines never write one run in turn. A local folder whose worker is not the
bucket's is out of date and is fetched again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from envs import InputError
from envs.files import LOCK, replacing, write_json
from envs.storage import Remote, cache_folder, locate
from rayapp.runs.locks import locked

_RECORD = "mirror.json"
_WORKER = "worker"
_RUN = "run.json"
_LOCAL = {LOCK, _RECORD}
_SECONDS_BETWEEN = 60.0

_TAKEN = signal.SIGUSR2
"""Signal by which a copier interrupts the main thread; Tune and Ray use SIGUSR1 themselves."""

_log = logging.getLogger(__name__)

FileState = tuple[int, int]
"""Size and time of change, in ns, of a file that has been copied."""


class Mirror:
    """Copies what a local folder holds to its home.

    Args:
        folder: where the work is done.
        remote: its home.
        worker: the name under which it was claimed.
    """

    def __init__(self, folder: Path, remote: Remote, worker: str) -> None:
        self.folder, self.remote, self._worker = folder, remote, worker
        self._sent: dict[str, FileState] = {}

    @classmethod
    def of(cls, folder: Path) -> Mirror | None:
        """The mirror of a folder, ``None`` for one that is at home where it is."""
        try:
            record = json.loads((folder / _RECORD).read_bytes())
        except FileNotFoundError:
            return None
        home = locate(record["uri"])
        return cls(folder, home, record["worker"]) if isinstance(home, Remote) else None

    def push(self) -> None:
        """Copies what has changed, the files that name others last; then removes what is gone.

        Raises:
            InputError: somebody else has begun to work on it, or the store does not take it.
        """
        if not self.is_mine():
            raise _taken(self.remote)
        states = dict(self._states())
        changed = [name for name, state in states.items() if self._sent.get(name) != state]
        last = [name for name in changed if name.endswith(_RUN)]
        self.remote.upload(self.folder, [name for name in changed if name not in last])
        self.remote.upload(self.folder, last)
        self.remote.remove(set(self.remote.names()) - set(states) - {_WORKER})
        self._sent = states

    def settle(self) -> None:
        """Copies a run that has ended, if that did not succeed when it did.

        Raises:
            InputError: as :meth:`push`.
        """
        # The last of its files to be copied.
        if self.remote.read(_RUN) != (self.folder / _RUN).read_bytes():
            self.push()

    def try_push(self) -> None:
        """Copies like :meth:`push`, but a store that fails is only logged; a later push mends it.

        Raises:
            InputError: somebody else has begun to work on it.
        """
        mine = True
        try:
            mine = self.is_mine()
            if mine:
                self.push()
        except InputError as error:
            _log.warning("Not mirrored, tried again later: %s", error)
        if not mine:
            raise _taken(self.remote)

    def is_mine(self) -> bool:
        """Whether no other process has claimed the folder's home since this one did.

        Raises:
            InputError: the store refuses or does not answer.
        """
        return self.remote.read(_WORKER) == self._worker.encode()

    def _states(self) -> Iterator[tuple[str, FileState]]:
        """The files to mirror. A run's graph is a live database until the run has ended."""
        unfinished = [run.parent for run in self.folder.rglob(_RUN) if not _complete(run)]
        nested = [run for run in unfinished if run != self.folder]
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder)
            if path.name in _LOCAL or any(part.startswith(".") for part in inside.parts):
                continue
            if self.folder in unfinished and inside.parts[0] == "graph":
                continue
            if any(path.is_relative_to(run) for run in nested):
                continue
            # Files come and go while others work on them.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    status = path.stat()
                    yield inside.as_posix(), (status.st_size, status.st_mtime_ns)


def claim(remote: Remote) -> Path:
    """The local folder to work in, with what the bucket holds; this process's from now on.

    A folder that was left here by the last one to work on it goes on as it is, though it may
    be further than the bucket; any other is replaced by what the bucket holds.

    Raises:
        InputError: the bucket is not there, refuses or does not answer.
    """
    remote.check_writable()
    folder = cache_folder(remote, "work") / remote.name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, remote.uri):
        before = Mirror.of(folder)
        if before is None or not before.is_mine():
            with replacing(folder) as temporary:
                temporary.mkdir()
                remote.download(temporary, [name for name in remote.names() if name != _WORKER])
        worker = uuid.uuid4().hex
        remote.write(_WORKER, worker.encode())
        write_json(folder / _RECORD, {"uri": remote.uri, "worker": worker})
    return folder


@contextlib.contextmanager
def mirrored(folder: Path) -> Iterator[None]:
    """Mirrors a folder of runs while the block works on it, and when it ends or fails.

    Of its runs only those that have ended are copied. A folder that is at home is left alone.
    Where another process begins to work on it, the block is interrupted as by Ctrl-C.

    Raises:
        InputError: another process has begun to work on it; or, at the end, the store does not
            take it.
    """
    mirror = Mirror.of(folder)
    if mirror is None:
        yield
        return
    copier = _Copier(mirror)
    with _interrupted_by(_TAKEN):
        copier.start()
        try:
            yield
        finally:
            copier.stop()
            if copier.taken is not None:
                # Instead of the interrupt that it caused.
                raise copier.taken
            mirror.push()


@contextlib.contextmanager
def _interrupted_by(number: signal.Signals) -> Iterator[None]:
    """Makes a signal interrupt the main thread as Ctrl-C does, which nohup may ignore."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, before)


class _Copier(threading.Thread):
    """Mirrors a folder every minute; interrupts the main thread if another process claims it.

    Args:
        mirror: the folder's mirror.
    """

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(daemon=True)
        self._mirror, self._done = mirror, threading.Event()
        self.taken: InputError | None = None

    def run(self) -> None:
        """Copies until :meth:`stop` is called, or another process claims the folder."""
        main_thread = threading.main_thread().ident or 0
        while not self._done.wait(_SECONDS_BETWEEN):
            try:
                self._mirror.try_push()
            except InputError as error:
                # A store that fails is only warned of; this is another process's claim.
                self.taken = error
                # What goes on would be lost.
                signal.pthread_kill(main_thread, _TAKEN)
                return

    def stop(self) -> None:
        """Waits for the copy that is under way."""
        self._done.set()
        self.join()


def shown(folder: Path) -> str:
    """A folder as its owner named it: its home's URI, if it is mirrored."""
    mirror = Mirror.of(folder)
    return mirror.remote.uri if mirror else str(folder)


def _taken(remote: Remote) -> InputError:
    return InputError(
        "another process has begun to work on it",
        where=remote.uri,
        expected="one that trains it at a time",
        mend="Let that one finish, or choose another --out",
    )


def _complete(run: Path) -> bool:
    try:
        return bool(json.loads(run.read_bytes())["state"] == "complete")
    except (OSError, ValueError, KeyError, TypeError):
        return False
