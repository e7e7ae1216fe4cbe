import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sycoca.outputs.disk_full import REASONS
from sycoca.outputs.errors import DiskFullError, OutputError, OutputInterrupted
from sycoca.outputs.lease import Lease, lease_beside
from sycoca.outputs.output import Output, OutputKind, claimed

FILE_KINDS: tuple[OutputKind, ...] = ("file", "growing file")
FOLDER_KINDS: tuple[OutputKind, ...] = ("folder", "growing folder", "files in a folder")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refusal(output: Output) -> str:
    with pytest.raises(OutputError) as caught:
        output.check()
    with pytest.raises(OutputError, match=r".") as again, output.claim():
        raise AssertionError("claimed")
    assert str(again.value) == str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [*FILE_KINDS, *FOLDER_KINDS])
def test_the_check_leaves_nothing_behind(kind: OutputKind, tmp_path: Path):
    output = Output(path=tmp_path / "deep" / "er" / "out", kind=kind, names=("a",))
    output.check()
    assert tree(tmp_path) == []
    with output.claim():
        home = output.path.parent if kind in FILE_KINDS or kind == "folder" else output.path
        assert home.is_dir()
    assert tree(tmp_path) == []
    with pytest.raises(RuntimeError), output.claim():
        raise RuntimeError("of the work")
    assert tree(tmp_path) == []


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_a_file_is_overwritten_only_on_request(kind: OutputKind, tmp_path: Path):
    path = tmp_path / "out"
    path.write_text("old")
    resume = "--resume continues it, " if kind == "growing file" else ""
    expected = f"{path} is there already; {resume}--overwrite replaces it, or choose another name"
    assert refusal(Output(path=path, kind=kind)) == expected
    with Output(path=path, kind=kind, overwrite=True).claim():
        assert path.read_text() == "old"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "link is there already" in refusal(Output(path=tmp_path / "link", kind=kind))


def test_a_file_is_resumed_or_overwritten(tmp_path: Path):
    path = tmp_path / "out"
    path.write_text("old")
    with Output(path=path, kind="growing file", resume=True).claim():
        pass
    both = Output(path=path, kind="growing file", resume=True, overwrite=True)
    assert refusal(both) == f"{path} is resumed or overwritten: give --resume or --overwrite, not both"


def test_a_folder_is_replaced_only_by_its_own_kind(tmp_path: Path):
    folder = tmp_path / "weights"
    folder.mkdir()
    output = Output(path=folder, kind="folder", names=("a", "b"), noun="weights folder")
    output.check()  # an empty folder has nothing to lose
    (folder / "a").touch()
    assert refusal(output) == f"{folder} is there already; --overwrite replaces it, or choose another name"
    output = Output(path=folder, kind="folder", names=("a", "b"), noun="weights folder", overwrite=True)
    output.check()
    (folder / "precious").touch()
    assert refusal(output) == (
        f"{folder} is there already and is not a weights folder (precious would be deleted); choose another name"
    )


def test_a_folder_of_files_may_hold_others(tmp_path: Path):
    (tmp_path / "other").touch()
    output = Output(path=tmp_path, kind="files in a folder", names=("a", "b"))
    with output.claim():
        pass
    (tmp_path / "b").touch()
    assert refusal(output) == f"{tmp_path / 'b'} is there already; --overwrite replaces it, or choose another name"
    Output(path=tmp_path, kind="files in a folder", names=("a", "b"), overwrite=True).check()


def test_what_stands_in_the_way_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for kind in FILE_KINDS:
        assert refusal(Output(path=tmp_path / "folder", kind=kind)).endswith("folder is a folder; name a file")
        assert refusal(Output(path=tmp_path / "pipe", kind=kind)).endswith("pipe is a device or pipe; name a file")
    for kind in FOLDER_KINDS:
        assert refusal(Output(path=tmp_path / "file", kind=kind)).endswith("file is a file; name a folder")
    below = tmp_path / "file" / "deep" / "out"
    for kind in (*FILE_KINDS, *FOLDER_KINDS):
        assert (
            refusal(Output(path=below, kind=kind)) == f"{below} cannot be written: {tmp_path / 'file'} is not a folder"
        )
    long = tmp_path / ("x" * 300)
    assert refusal(Output(path=long)) == f"{long} cannot be written: File name too long"
    suffixes = (".png", ".pdf")
    assert refusal(Output(path=tmp_path / "a.txt", suffixes=suffixes)).endswith("a.txt must end with .png or .pdf")
    Output(path=tmp_path / "A.PNG", suffixes=suffixes).check()
    assert tree(tmp_path) == ["file", "folder", "pipe"]


def test_what_an_output_is_made_from_is_never_replaced(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "model").touch()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for source in (tmp_path / "in", tmp_path / "link", tmp_path / "in" / "model"):
        output = Output(
            path=tmp_path / "x" / ".." / "in", kind="folder", names=("model",), inputs=(source,), overwrite=True
        )
        assert refusal(output).endswith("would replace what it is made from; choose another name")


@pytest.mark.parametrize("name", ["a.jpg", "cats/B.PNG", "00000.tar", "data/train.parquet"])
def test_a_file_of_a_folder_that_is_read_is_not_replaced(tmp_path: Path, name: str):
    data, path = tmp_path / "data", tmp_path / "data" / name
    output = Output(path=path, inputs=(data,), overwrite=True)
    path.parent.mkdir(parents=True)
    output.check()  # there is nothing yet
    path.touch()
    assert refusal(output) == f"{path} would replace what it is made from; choose another name"
    beside = path.with_suffix(".jsonl")
    beside.touch()
    Output(path=beside, inputs=(data,), overwrite=True).check()  # such as the captions of an earlier run
    Output(path=path, inputs=(tmp_path / "other",), overwrite=True).check()


@pytest.mark.parametrize("path", ["/proc/out", "/sys/deep/out", "/dev/null"])
@pytest.mark.skipif(not Path("/sys").is_dir(), reason="only Linux has such places")
def test_places_where_nothing_can_be_written_are_refused(path: str):
    assert refusal(Output(path=Path(path), overwrite=True)).startswith(path)


def test_a_read_only_folder_is_refused(tmp_path: Path):
    # By another user: root may write everywhere.
    if os.getuid() == 0:
        tmp_path.chmod(0o555)
        program = (
            "import os, sys; from pathlib import Path; from sycoca.outputs.output import Output\n"
            "os.setuid(65534)\n"
            "try:\n    Output(path=Path(sys.argv[1])).check()\nexcept ValueError as error:\n    print(error)"
        )
        for parent in tmp_path.parents[:3]:
            parent.chmod(0o755)
        arguments = [sys.executable, "-c", program, str(tmp_path / "out")]
        found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    else:
        tmp_path.chmod(0o555)
        found = refusal(Output(path=tmp_path / "out")) + "\n"
    assert found == f"{tmp_path / 'out'} cannot be written: Permission denied\n"
    tmp_path.chmod(0o755)


def test_two_outputs_are_both_checked_before_either_is_held(tmp_path: Path):
    (tmp_path / "b").touch()
    with (
        pytest.raises(OutputError, match="b is there"),
        claimed(Output(path=tmp_path / "a"), Output(path=tmp_path / "b")),
    ):
        raise AssertionError("claimed")
    with claimed(None, Output(path=tmp_path / "a")) as (none, lease):
        assert none is None
        assert isinstance(lease, Lease)
    one = Output(path=tmp_path / "a")
    with pytest.raises(OutputError, match="a is named for two outputs"), claimed(one, one):
        raise AssertionError("claimed")


def test_a_held_output_is_refused(tmp_path: Path):
    output = Output(path=tmp_path / "out")
    with output.claim(), pytest.raises(OutputError, match="out is being written by this very process"), output.claim():
        raise AssertionError("claimed")


def test_what_another_process_finished_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = Output(path=tmp_path / "out")
    enter = Lease.__enter__

    def enter_late(lease: Lease) -> Lease:
        output.path.touch()
        return enter(lease)

    monkeypatch.setattr(Lease, "__enter__", enter_late)
    with pytest.raises(OutputError, match="out is there already"), output.claim():
        raise AssertionError("claimed")
    assert not lease_beside(output.path).exists()


def interrupted(output: Output, written: Path | None) -> OutputInterrupted:
    def write_until_stopped() -> None:
        with output.claim():
            if written is not None:
                written.write_text("new text")
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(OutputInterrupted) as caught:
        write_until_stopped()
    return caught.value


def test_an_interruption_says_what_is_left(tmp_path: Path):
    for kind in (*FILE_KINDS, *FOLDER_KINDS):
        output = Output(path=tmp_path / "out", kind=kind, names=("a",))
        assert str(interrupted(output, None)) == f"interrupted; {output.path} was not written"
    path = tmp_path / "lines"
    path.write_text("old")
    output = Output(path=path, kind="growing file", overwrite=True)
    before = interrupted(output, None)
    assert (str(before), before.remains.can_resume) == (f"interrupted; {path} is as it was before", False)
    after = interrupted(output, path)
    assert (str(after), after.remains.can_resume) == (f"interrupted; {path} has what was done", True)
    reports = Output(path=tmp_path / "reports", kind="files in a folder", names=("a",))
    left = interrupted(reports, reports.path / "a")
    assert str(left) == f"interrupted; {reports.path} has the files that were complete"
    run = Output(path=reports.path, kind="files in a folder", names=("a",), resume=True, resume_command="resume it")
    assert interrupted(run, None).remains.command == "resume it"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_why_and_what_is_left(tmp_path: Path, number: int):
    output = Output(path=tmp_path / "lines", kind="growing file")

    def write_until_full() -> None:
        with output.claim():
            output.path.write_text("a line")
            raise OSError(number, os.strerror(number))

    with pytest.raises(DiskFullError) as caught:
        write_until_full()
    assert str(caught.value) == f"{REASONS[number]}; {output.path} has what was done"
    assert caught.value.remains.can_resume


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path):
    with pytest.raises(PermissionError), Output(path=tmp_path / "new").claim():
        raise PermissionError(errno.EACCES, "Permission denied", "elsewhere")
    with pytest.raises(RuntimeError), Output(path=tmp_path / "new").claim():
        raise RuntimeError("some other error (os error 13)")


def test_a_growing_folder_is_resumed_and_holds_no_other_files(tmp_path: Path):
    folder = tmp_path / "shards"
    output = Output(path=folder, kind="growing folder", names=("a", "b"), noun="folder of shards")
    with output.claim():
        (folder / "a").touch()
    assert refusal(output) == (
        f"{folder} is there already; --resume continues it, --overwrite replaces it, or choose another name"
    )
    for options in ({"resume": True}, {"overwrite": True}):
        with replace(output, **options).claim():
            pass
    with pytest.raises(OutputInterrupted, match="shards has what was done") as caught:
        _interrupt(replace(output, resume=True))
    assert caught.value.remains.can_resume
    (folder / ".hidden").touch()
    replace(output, resume=True).check()
    (folder / "precious").touch()
    assert refusal(replace(output, overwrite=True)).endswith("(precious would be deleted); choose another name")
    assert refusal(replace(output, resume=True)).endswith("(precious is in it); choose another name")
    (folder / "precious").unlink()
    inside = replace(output, inputs=(folder / "a",), overwrite=True)
    assert refusal(inside) == f"{folder} would replace what it is made from; choose another name"


def _interrupt(output: Output) -> None:
    with output.claim():
        (output.path / "b").touch()
        raise KeyboardInterrupt
