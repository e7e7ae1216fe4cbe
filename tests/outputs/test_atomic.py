import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from sycoca.outputs.atomic import atomic_folder


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
