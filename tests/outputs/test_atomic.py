import os
import resource
import stat
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sycoca.json_lines import ResumableLines
from sycoca.outputs.atomic import atomic_file, atomic_folder, remove_unfinished
from sycoca.outputs.disk_full import system_error


def test_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "folder"
    with atomic_folder(target) as unfinished:
        (unfinished / "inside").mkdir()
        (unfinished / "inside" / "file").write_text("text")
        assert not target.exists()
    assert (target / "inside" / "file").read_text() == "text"
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_replaces_an_existing_folder(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with atomic_folder(target) as unfinished:
        (unfinished / "new").write_text("new")
        assert (target / "old").exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def write(folder: Path, text: str) -> None:
    with atomic_folder(folder) as unfinished:
        (unfinished / "file").write_text(text)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need two renames")
def test_no_moment_is_without_the_folder(tmp_path: Path):
    """A process that is killed at any moment leaves a whole folder of that name."""
    target = tmp_path / "folder"
    write(target, "0")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write(target, str(number)) for number in range(100)])
        seen = set()
        while not writing.done():
            seen.add(target.exists())
        writing.result()
    assert seen == {True}
    assert (target / "file").read_text() == "99"
    assert os.listdir(tmp_path) == ["folder"]


def test_without_an_exchange_of_names_the_folder_is_replaced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.outputs.atomic._exchange", lambda *_: False)
    write(tmp_path / "folder", "old")
    write(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]


def test_threads_do_not_change_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    umask = os.umask
    before = umask(0o27)

    def slow_umask(mask: int) -> int:
        old = umask(mask)
        time.sleep(0.001)  # another thread's turn
        return old

    monkeypatch.setattr(os, "umask", slow_umask)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: write(tmp_path / str(number), ""), range(16)))
        assert umask(0o27) == 0o27
        assert {stat.S_IMODE((tmp_path / str(number) / "file").stat().st_mode) for number in range(16)} == {0o640}
    finally:
        umask(before)


def test_an_error_changes_nothing(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()

    def write_and_fail() -> None:
        with atomic_folder(target) as unfinished:
            (unfinished / "new").write_text("new")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_and_fail()
    assert list(target.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o022)
    try:
        with atomic_folder(tmp_path / "folder") as unfinished:
            save_file({"one": torch.ones(1)}, unfinished / "model.safetensors")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "folder" / "model.safetensors").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file grow beyond 10 kB, which fails as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


NUMBERS = torch.zeros(10_000)


def save_with_torch(path: Path) -> None:
    with path.open("wb") as file:
        torch.save(NUMBERS, file)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("x" * 20_000),
        lambda path: save_file({"numbers": NUMBERS}, path),
        lambda path: np.savez(path, numbers=NUMBERS.numpy()),
        save_with_torch,
    ],
)
def test_errors_of_the_system_name_what_the_user_named(
    write: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    def fill_file() -> None:
        with atomic_file(Path("my out.npz")) as unfinished:
            write(unfinished)

    def fill_folder() -> None:
        with atomic_folder(Path("my out")) as unfinished:
            write(unfinished / "part.npz")

    for fill in (fill_file, fill_folder):
        with pytest.raises(OSError, match=r"^\[Errno 27\] File too large: 'my out(/part)?(\.npz)?'$"):
            fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_disk")
def test_a_growing_file_is_named_too(tmp_path: Path):
    lines = ResumableLines(tmp_path / "out.jsonl", resume=False)
    with pytest.raises(OSError, match=r"File too large: '.*/out\.jsonl'$"):
        lines.append({"text": "x" * 20_000})


def test_errors_of_other_files_keep_their_name(tmp_path: Path):
    def read_another() -> None:
        with atomic_file(tmp_path / "out"):
            (tmp_path / "missing").read_text()

    with pytest.raises(FileNotFoundError, match=r"missing'$"):
        read_another()


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name in ("file", "folder"):
        (tmp_path / name).symlink_to(tmp_path / "data" / name)
    for _ in range(2):
        with atomic_file(tmp_path / "file") as unfinished:
            unfinished.write_text("text")
        with atomic_folder(tmp_path / "folder") as unfinished:
            (unfinished / "inside").write_text("text")
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "folder").is_symlink()
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["file", "folder", "inside"]


def test_a_name_as_long_as_the_system_allows_is_enough(tmp_path: Path):
    with atomic_file(tmp_path / ("x" * 255)) as unfinished:
        unfinished.write_text("text")
    with atomic_folder(tmp_path / ("y" * 255)):
        pass


def test_what_a_killed_process_leaves_is_deleted(tmp_path: Path):
    kept = {"a.txt", ".a.partial", ".b.123456", ".lease", "c.0123456789ab", ".d.1.partial.txt.old-folder"}
    for name in ("a.txt", ".a.partial", ".b.123456", ".lease"):
        (tmp_path / name).touch()
    for name in ("c.0123456789ab", ".d.1.partial.txt.old-folder"):
        (tmp_path / name).mkdir()
    child = os.fork()
    if child == 0:
        with atomic_file(tmp_path / "page.html") as page, atomic_folder(tmp_path / "weights") as weights:
            page.touch()
            (weights / "model").touch()
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == len(kept) + 2
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_unfinished(tmp_path / "missing")


def test_names_that_begin_alike_are_kept_apart(tmp_path: Path):
    one, other = (tmp_path / f"{'shard-of-a-data-set-with-a-long-name-' * 3}{number}.jsonl" for number in range(2))
    with atomic_file(one) as first, atomic_file(other) as second:
        first.write_text("one")
        second.write_text("other")
        remove_unfinished(tmp_path, ["another.jsonl"])
    assert (one.read_text(), other.read_text()) == ("one", "other")


def test_processes_of_two_hosts_may_have_the_same_id(tmp_path: Path):
    with atomic_file(tmp_path / "a.txt") as first, atomic_file(tmp_path / "a.txt") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first"


def test_of_one_name_nothing_of_others_is_deleted(tmp_path: Path):
    for name in ("a.txt", "b.txt"):
        child = os.fork()
        if child == 0:
            with atomic_file(tmp_path / name) as file, atomic_folder(tmp_path / name) as folder:
                file.touch()
                (folder / "inside").touch()
                os._exit(0)
        os.waitpid(child, 0)
    remove_unfinished(tmp_path, ["a.txt"])
    assert [path.name.startswith(".b.txt.") for path in tmp_path.iterdir()] == [True, True]


@pytest.mark.parametrize(
    "message",
    ["File too large (os error 27)", 'IoError(Os { code: 27, kind: FileTooLarge, message: "File too large" })'],
)
def test_messages_of_every_version_of_safetensors_have_the_number(message: str):
    found = system_error(Exception(f"Error while serializing: {message}"))
    assert found is not None
    assert found.errno == 27
