from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.files import LOCK, check_writable, link_or_copy, replacing, take_lock, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_only_once_the_block_is_done(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"

    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()

    assert path.read_text() == "new"
    assert names(tmp_path) == ["report.txt"]


def test_file_keeps_its_content_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()

    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.txt"]


def test_folder_is_swapped_out_whole(tmp_path: Path) -> None:
    path = tmp_path / "scenario"
    path.mkdir()
    (path / "old.txt").write_text("old")

    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "new.txt").write_text("new")

    assert names(path) == ["new.txt"]
    assert names(tmp_path) == ["scenario"]


def test_folder_keeps_its_content_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "scenario"
    path.mkdir()
    (path / "old.txt").write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "new.txt").write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()

    assert names(path) == ["old.txt"]
    assert names(tmp_path) == ["scenario"]


def test_missing_parent_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"

    write_json(path, {"flows": 3})

    assert json.loads(path.read_text()) == {"flows": 3}


def test_failure_of_the_disk_is_an_input_error_that_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"

    with pytest.raises(InputError, match="No space left") as caught, replacing(path):
        raise OSError(28, "No space left on device")

    assert caught.value.where == str(path)


def test_parent_that_is_a_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / "file" / "report.json", {})


def test_link_or_copy_gives_the_same_content(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("content")

    link_or_copy(str(source), str(target))

    assert target.read_text() == "content"


def test_link_or_copy_copies_where_links_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("links not supported")

    monkeypatch.setattr("os.link", refuse)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("content")

    link_or_copy(str(source), str(target))

    assert target.read_text() == "content"
    assert source.stat().st_ino != target.stat().st_ino


def test_a_place_is_found_unwritable_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    check_writable(tmp_path / "new" / "deeper" / "out")

    for place in (tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot be written"):
            check_writable(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


BUSY = InputError("is in use")

HOLDER = """
import sys, time
from pathlib import Path
from envs import InputError
from envs.files import take_lock

lock = take_lock(Path(sys.argv[1]), InputError("is in use"))
print("held", flush=True)
time.sleep(60)
"""


def test_a_folder_is_locked_against_other_processes_until_the_holder_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"

    with pytest.raises(InputError, match="is in use"):
        take_lock(tmp_path, BUSY)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    take_lock(tmp_path, BUSY).release()

    holder.stdout.close()
    assert names(tmp_path) == [LOCK]


def test_a_lock_is_its_objects_whichever_thread_takes_and_releases_it(tmp_path: Path) -> None:
    lock = take_lock(tmp_path, BUSY)
    with pytest.raises(InputError, match="is in use"):
        take_lock(tmp_path, BUSY)

    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()

    take_lock(tmp_path, BUSY, seconds=1.0).release()


def test_a_lock_that_is_given_up_soon_is_waited_for(tmp_path: Path) -> None:
    timer = threading.Timer(0.3, take_lock(tmp_path, BUSY).release)
    timer.start()

    take_lock(tmp_path, BUSY, seconds=10.0).release()

    timer.join()


def test_a_link_in_the_place_of_a_lock_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("content")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")

    with pytest.raises(InputError, match="lock: cannot be written"):
        take_lock(tmp_path, BUSY)

    assert (tmp_path / "precious").read_text() == "content"
