"""Find the newest checkpoint that is what its manifest says; broken ones are reported by name."""

import logging
import os
from pathlib import Path
from typing import Any

from sycoca.outputs.manifest import MANIFEST_NAME, DamageError, check_manifest, is_verification_on, read_sound_json
from sycoca.outputs.set_aside import set_aside
from sycoca.training.checkpoint_copies import COPIED_NAMES, checkpoints_in
from sycoca.training.engine.checkpoints.checkpoint import FORMAT_VERSION
from sycoca.training.engine.checkpoints.shard_files import shard_files
from sycoca.training.engine.checkpoints.tensor_files import (
    IS_REQUIRED,
    check_tensor_file,
    check_tensor_files,
    tensor_files,
)

logger = logging.getLogger(__name__)

_FIRST_FORMAT_WITH_MANIFEST = 2


def newest_sound_step(folder: Path) -> int | None:
    """Return the step of the newest checkpoint without damage, or None where there is no checkpoint at all.

    Broken ones that are newer are logged as warnings and renamed, so that the resumed run can write those steps again.
    Raises ValueError, and renames nothing, where all are broken.
    """
    broken: list[tuple[Path, str]] = []
    for step, path in reversed(checkpoints_in(folder)):
        damage = damage_of(path, step)
        if damage is None:
            for one, why in broken:
                aside = set_aside(one, ".damaged")
                logger.warning(f"{why}; the checkpoint is now {aside.name}, and the run resumes after step {step}")
            return step
        broken.append((path, damage))
    if broken:
        raise ValueError(
            f"no checkpoint in {folder} can be used: {'; '.join(why for _, why in broken)}; copy one from a backup, or"
            " start a new run with another --out"
        )
    return None


def damage_of(path: Path, step: int) -> str | None:
    """Return what is wrong with a checkpoint, beginning with the file's path; None where nothing is.

    Checkpoints of format 1 have no manifest: only their structure is checked.
    """
    try:
        _check(path, step)
    except DamageError as error:
        return str(error)
    except OSError as error:  # a folder that may not be read
        return f"{path} cannot be read: {error.strerror}"
    return None


def _check(path: Path, step: int) -> None:
    if not path.is_dir():
        raise DamageError(path, "is not a folder")
    if is_verification_on():
        _check_manifest(path, step)
    state = _read_state(path / "state.json")
    if state["step"] != step:
        raise DamageError(path / "state.json", f"is that of step {state['step']}, not of step {step}")
    if (shards := state.get("shards")) is not None:
        for name in shards:
            check_tensor_file(path / name)
        return
    for part, is_required in IS_REQUIRED.items():
        if is_required or tensor_files(path, part):
            check_tensor_files(path, part)


def _check_manifest(path: Path, step: int) -> None:
    if (path / MANIFEST_NAME).exists():
        files = [file for part in IS_REQUIRED for file in tensor_files(path, part)] + shard_files(path)
        tensors = [file.name for file in files]
        check_manifest(path, "checkpoint", (*tensors, "state.json", *COPIED_NAMES), step=step)
    elif _read_state(path / "state.json")["format_version"] >= _FIRST_FORMAT_WITH_MANIFEST:
        raise DamageError(path / MANIFEST_NAME, "is missing")


def _read_state(path: Path) -> dict[str, Any]:
    match plain := read_sound_json(path):
        case {"format_version": int() as version} if version > FORMAT_VERSION:
            # Not a damage: an older checkpoint in its place would throw away work of the newer version.
            raise ValueError(
                f"{path.parent} has checkpoint format {version}, this version reads up to {FORMAT_VERSION};"
                " update sycoca"
            )
        case {"format_version": int(), "step": int(), "samples_seen": int(), "scaler": dict(), **others}:
            if not _are_names(others.get("shards", [])):
                raise DamageError(path, "is not the state of a checkpoint")
            return plain
        case _:
            raise DamageError(path, "is not the state of a checkpoint")


def _are_names(plain: object) -> bool:
    """Return whether this is a list of names of files within a folder."""
    return isinstance(plain, list) and all(isinstance(name, str) and os.path.basename(name) == name for name in plain)
