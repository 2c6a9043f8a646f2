"""Folders in an object store: S3 (and what speaks its language) and Google Cloud Storage.

Where a folder is asked for, a URI may stand: ``s3://bucket/runs/one``, ``gs://bucket/one``;
``file:///a/folder`` is the folder itself. Work is always done in a local folder, which is
*published* to its URI and *fetched* from it. A published folder has the names that the local
one has, so any other tool can read it too.

An object store replaces one object at a time. So a folder's *seal*, the file that names the
others (a scenario's and a run's manifest), is written last, and what it no longer names is
removed after that: whoever reads finds the old or the new folder, or no seal, never the
seal of one on the other.

Credentials and endpoints come from the environment alone, as the providers' own tools read
them, and no message holds them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from envs.errors import InputError
from envs.files import replacing

SCHEMES = ("file", "s3", "gs")
_EXPECTED = "a folder, or a URI: s3://BUCKET/PATH, gs://BUCKET/PATH or file:///PATH"

_CREDENTIALS = {
    "s3": "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN in the "
    "environment (or the profile or role that stands for them) and the bucket's policy",
    "gs": "Check GOOGLE_APPLICATION_CREDENTIALS in the environment (or the account that "
    "stands for it) and the bucket's permissions",
}
_AT_ONCE = 8
_SECONDS_TO_CONNECT = 10
_SECONDS_TO_ANSWER = 60
_SECONDS_OF_RETRIES = 20


@dataclass(frozen=True)
class Remote:
    """A folder in a bucket. Make one with :func:`locate`.

    Attributes:
        scheme: ``s3`` or ``gs``.
        root: ``bucket/path``.
    """

    scheme: str
    root: str

    @property
    def uri(self) -> str:
        """The name under which its owner knows it."""
        return f"{self.scheme}://{self.root}"

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.root.rpartition("/")[2]

    def at(self, path: str) -> Remote:
        """A folder below this one."""
        return Remote(self.scheme, f"{self.root}/{path}")

    def read(self, name: str) -> bytes | None:
        """Content of a file of the folder, ``None`` if there is none.

        Raises:
            InputError: the store refuses or does not answer.
        """
        with _reaching(self):
            try:
                with self._files().open_input_stream(f"{self.root}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Replaces a file in one step.

        Raises:
            InputError: as :meth:`read`.
        """
        with (
            _reaching(self),
            self._files().open_output_stream(f"{self.root}/{name}") as stream,
        ):
            stream.write(content)

    def names(self) -> list[str]:
        """All files below the folder, by their paths from it, sorted.

        Raises:
            InputError: as :meth:`read`.
        """
        selector = fs.FileSelector(self.root, recursive=True, allow_not_found=True)
        with _reaching(self):
            found = self._files().get_file_info(selector)
        start = len(self.root) + 1
        return sorted(info.path[start:] for info in found if info.type is fs.FileType.File)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are not there are none the worse.

        Raises:
            InputError: as :meth:`read`.
        """

        def remove(name: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files().delete_file(f"{self.root}/{name}")

        with _reaching(self):
            _each(remove, names)

    def upload(self, folder: Path, names: Iterable[str]) -> None:
        """Copies files of a local folder; one that has gone meanwhile is left out.

        Raises:
            InputError: as :meth:`read`.
        """

        def upload(name: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self.write(name, (folder / name).read_bytes())

        _each(upload, names)

    def download(self, folder: Path, names: Iterable[str]) -> None:
        """Copies files into a local folder.

        Raises:
            InputError: as :meth:`read`, or a name that leads out of the folder.
        """

        def download(name: str) -> None:
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise InputError(f"holds a file named {name!r}", where=self.uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                _reaching(self),
                self._files().open_input_stream(f"{self.root}/{name}") as stream,
                path.open("wb") as file,
            ):
                # Not fs.copy_files: it does not tell a full disk here from a store that fails.
                shutil.copyfileobj(stream, file, 1 << 24)

        _each(download, names)

    def check_writable(self) -> None:
        """Finds out now, rather than after long work, whether the folder can be written to.

        Raises:
            InputError: there is no such bucket, or it refuses or does not answer.
        """
        self.check()
        probe = f".kirl-{os.urandom(4).hex()}"
        self.write(probe, b"")
        self.remove([probe])

    def check(self) -> None:
        """Raises :class:`InputError` if the bucket is not there or does not let us in."""
        bucket = self.root.partition("/")[0]
        with _reaching(self):
            if self._files().get_file_info(bucket).type is fs.FileType.NotFound:
                raise FileNotFoundError(bucket)

    def _files(self) -> Any:  # noqa: ANN401 (pyarrow is untyped)
        return _filesystem(self.scheme, self.root.partition("/")[0])


def is_uri(text: str) -> bool:
    """Whether it names a place by a scheme, rather than a local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text) is not None


def locate(text: str) -> Path | Remote:
    """A local folder, or one in a bucket.

    Raises:
        InputError: a URI of another scheme, without a bucket or path, or with credentials.
    """
    if not is_uri(text):
        return Path(text)
    scheme, _, rest = text.partition(":")
    if scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r} is not supported", expected=_EXPECTED)
    if not rest.startswith("//"):
        raise InputError(f"'{scheme}:' without two slashes", expected=_EXPECTED)
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        # Not repeated: it may hold a secret.
        raise InputError(
            f"a {scheme}: URI with credentials or options in it",
            expected=_EXPECTED,
            mend="Set credentials, region and endpoint in the environment",
        )
    if scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.strip("/"):
            raise InputError(f"{text!r} names no folder", expected=_EXPECTED)
        return Path(unquote(parts.path))
    path = "/".join(part for part in unquote(parts.path).split("/") if part)
    if not parts.netloc or not path or ".." in path.split("/"):
        raise InputError(f"{text!r} names no folder in a bucket", expected=_EXPECTED)
    return Remote(scheme, f"{parts.netloc}/{path}")


def publish(folder: Path, remote: Remote, names: Iterable[str], seal: str) -> None:
    """Makes a folder in a bucket hold some files of a local one, and no others.

    Args:
        folder: the local one.
        remote: where to.
        names: of the files, the seal among them.
        seal: the file that names the others.

    Raises:
        InputError: the bucket is not there, refuses or does not answer.
    """
    wanted = set(names)
    there = set(remote.names())
    if seal in there:
        remote.remove([seal])
    remote.upload(folder, sorted(wanted - {seal}))
    remote.upload(folder, [seal])
    remote.remove(there - wanted)


def fetch(remote: Remote, seal: str, skip: Callable[[str], bool] = lambda name: False) -> Path:
    """A local copy of a folder in a bucket.

    It is copied once for each content of its seal, into :func:`cache_folder`.

    Args:
        remote: the folder.
        seal: the file that names the others; without it the folder counts as missing.
        skip: which files are not needed.

    Raises:
        InputError: the bucket or the folder is not there, refuses or does not answer.
    """
    content = remote.read(seal)
    if content is None:
        remote.check()
        raise InputError(
            f"there is no {seal}",
            where=remote.uri,
            expected="a folder that kirl wrote",
            mend="Check the URI",
        )
    key = hashlib.sha256(content).hexdigest()[:16]
    copy = cache_folder(remote, "fetched") / key / remote.name
    if not copy.is_dir():
        with replacing(copy) as temporary:
            temporary.mkdir()
            names = [name for name in remote.names() if name != seal and not skip(name)]
            remote.download(temporary, names)
            (temporary / seal).write_bytes(content)
    return copy


def cache_folder(remote: Remote, purpose: str) -> Path:
    """Where local copies of a remote folder lie: below ``KIRL_CACHE``, or the user's cache."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(os.environ.get("KIRL_CACHE") or user / "kirl")
    return base / purpose / hashlib.sha256(remote.uri.encode()).hexdigest()[:16]


def _each(work: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(work, names):
            pass


@cache
def _filesystem(scheme: str, bucket: str) -> Any:  # noqa: ANN401
    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_SECONDS_OF_RETRIES))
    environment = os.environ
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        region=region,
        endpoint_override=endpoint,
        connect_timeout=_SECONDS_TO_CONNECT,
        request_timeout=_SECONDS_TO_ANSWER,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
    )


@contextlib.contextmanager
def _reaching(remote: Remote) -> Iterator[None]:
    """Turns what a store refuses into one message, without what the store itself says.

    Its own messages can hold key ids and signed requests.
    """
    try:
        yield
    except (OSError, pa.ArrowException, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # of a local file
        what, mend = _explained(remote, str(error))
        raise InputError(what, where=remote.uri, mend=mend) from None


def _explained(remote: Remote, told: str) -> tuple[str, str]:
    bucket = remote.root.partition("/")[0]
    # First: one of them says that a key "does not exist".
    if _told(told, "DENIED|ACCESS_KEY|SIGNATURE|TOKEN|CREDENTIAL|HTTP status 40[13]|UNAUTH"):
        return "access is refused", _CREDENTIALS[remote.scheme]
    if told == bucket or _told(told, "NO_SUCH_BUCKET|bucket .*not (found|exist)"):
        return f"there is no bucket {bucket!r}", "Check the name, or create the bucket"
    if _told(told, "NETWORK|TIMEOUT|curl|resolve|connect"):
        return (
            "the store does not answer",
            "Check the network, and the endpoint in AWS_ENDPOINT_URL if one is set",
        )
    code = next(iter(re.findall(r"AWS Error ([A-Z_]+)", told)), "for a reason of its own")
    return f"the store refuses ({code})", "Check the URI"


def _told(message: str, pattern: str) -> bool:
    return re.search(pattern, message, re.IGNORECASE) is not None
