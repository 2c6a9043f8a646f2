from __future__ import annotations

import uuid
from pathlib import Path
from typing import Protocol

import pytest

from envs import InputError, storage
from envs.storage import Remote, fetch, locate, publish

FILES = {"seal.json": "sealed", "data.bin": "first", "deep/er/file.txt": "second"}


class Store(Protocol):
    def lock(self, *, locked: bool) -> None: ...


@pytest.fixture
def remote(object_store: Store) -> Remote:
    """A folder in the bucket that nobody has written to."""
    return Remote("s3", f"kirl/{uuid.uuid4().hex}/folder")


def local(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("runs/one", Path("runs/one")),
        ("/runs/s3:one", Path("/runs/s3:one")),
        ("file:///runs/one%20two", Path("/runs/one two")),
        ("file://localhost/runs", Path("/runs")),
        ("s3://bucket/runs/one/", Remote("s3", "bucket/runs/one")),
        ("gs://bucket//runs", Remote("gs", "bucket/runs")),
    ],
)
def test_paths_and_uris_are_told_apart(text: str, place: Path | Remote) -> None:
    assert locate(text) == place


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://host/run", "scheme 'http' is not supported"),
        ("S3://bucket/run", "scheme 'S3' is not supported"),
        ("s3:/bucket/run", "without two slashes"),
        ("s3://bucket", "names no folder in a bucket"),
        ("s3:///run", "names no folder in a bucket"),
        ("s3://bucket/../run", "names no folder in a bucket"),
        ("file://other/run", "names no folder"),
    ],
)
def test_uris_that_name_no_folder_are_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        locate(text)
    assert "s3://BUCKET/PATH" in str(caught.value)


@pytest.mark.parametrize("text", ["s3://key:hushhush@bucket/run", "s3://bucket/run?x=hushhush"])
def test_secrets_in_a_uri_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="environment") as caught:
        locate(text)
    assert "hushhush" not in str(caught.value)


def test_what_was_published_is_fetched(remote: Remote, tmp_path: Path) -> None:
    publish(local(tmp_path, FILES), remote, FILES, "seal.json")

    assert remote.names() == sorted(FILES)
    assert content(fetch(remote, "seal.json")) == FILES
    assert fetch(remote, "seal.json").name == "folder"


def test_what_replaces_it_leaves_nothing_of_it(remote: Remote, tmp_path: Path) -> None:
    publish(local(tmp_path / "old", FILES), remote, FILES, "seal.json")
    before = fetch(remote, "seal.json")
    new = {"seal.json": "sealed anew", "other.bin": "third"}

    publish(local(tmp_path / "new", new), remote, new, "seal.json")

    assert remote.names() == sorted(new)
    assert content(fetch(remote, "seal.json")) == new
    assert content(before) == FILES


def test_a_folder_that_has_not_changed_is_not_copied_again(remote: Remote, tmp_path: Path) -> None:
    publish(local(tmp_path, FILES), remote, FILES, "seal.json")
    first = fetch(remote, "seal.json")
    remote.remove(["data.bin"])

    assert fetch(remote, "seal.json") == first
    assert content(first) == FILES


def test_files_that_are_not_needed_are_not_copied(remote: Remote, tmp_path: Path) -> None:
    publish(local(tmp_path, FILES), remote, FILES, "seal.json")
    copy = fetch(remote, "seal.json", lambda name: name.startswith("deep/"))
    assert sorted(content(copy)) == ["data.bin", "seal.json"]


def test_a_publication_that_breaks_off_leaves_no_seal_on_other_files(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(local(tmp_path / "old", FILES), remote, FILES, "seal.json")
    write, written = Remote.write, []

    def breaks(self: Remote, name: str, text: bytes) -> None:
        if len(written) == 1:
            raise InputError("the wire is cut")
        written.append(name)
        write(self, name, text)

    monkeypatch.setattr(Remote, "write", breaks)
    new = FILES | {"data.bin": "changed", "seal.json": "sealed anew"}
    with pytest.raises(InputError, match="cut"):
        publish(local(tmp_path / "new", new), remote, new, "seal.json")

    with pytest.raises(InputError, match=r"there is no seal\.json"):
        fetch(remote, "seal.json")


def test_a_missing_bucket_is_named(object_store: Store) -> None:
    remote = Remote("s3", "nowhere/run")
    for act in (remote.check_writable, remote.check, lambda: fetch(remote, "seal.json")):
        with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
            act()


def test_wrong_credentials_are_told_without_repeating_them(
    remote: Remote, object_store: Store
) -> None:
    object_store.lock(locked=True)
    try:
        for act in (remote.check_writable, remote.names, lambda: fetch(remote, "seal.json")):
            with pytest.raises(InputError, match=r"access is refused.*AWS_ACCESS_KEY_ID") as caught:
                act()
            assert "AKIATHEKEY" not in str(caught.value)
            assert "the-secret" not in str(caught.value)
    finally:
        object_store.lock(locked=False)


def test_a_server_that_is_not_there_is_told(
    object_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="does not answer"):
        Remote("s3", "elsewhere/run").check_writable()


def test_names_that_lead_out_of_the_folder_are_refused(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a file named"):
        remote.download(tmp_path / "in", ["../out.txt"])
    assert not (tmp_path / "out.txt").exists()


def test_the_cache_is_where_it_is_wished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Remote("s3", "kirl/run")
    monkeypatch.setenv("KIRL_CACHE", str(tmp_path))
    assert storage.cache_folder(remote, "work").is_relative_to(tmp_path / "work")
    monkeypatch.delenv("KIRL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert storage.cache_folder(remote, "work").is_relative_to(tmp_path / "kirl" / "work")
