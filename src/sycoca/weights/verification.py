"""Verification of weights, stricter than loading; and the renewal of a manifest after a folder was edited."""

from dataclasses import dataclass
from pathlib import Path

from sycoca.outputs.manifest import MANIFEST_NAME, Manifest, flushed_entries, verification
from sycoca.outputs.output import Output, claimed
from sycoca.plain_data import write_text
from sycoca.weights.config import FILE_NAMES, MODEL_FILES, TENSORS_NAME, TOKENIZER_NAME
from sycoca.weights.folder import check_files
from sycoca.weights.parts import load_parts


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedWeights:
    """What the verification of a weights folder has found."""

    names: tuple[str, ...]
    """The names of its files."""

    num_parameters: int
    """Number of values of all tensors."""

    @property
    def has_manifest(self) -> bool:
        """Whether the files were compared with a manifest, which folders of formats 1 to 3 lack."""
        return MANIFEST_NAME in self.names


def verify_weights(folder: str | Path) -> VerifiedWeights:
    """Check a weights folder, or that of an image encoder alone; return what it holds.

    It is compared with its manifest whether or not loading does. Raises ValueError where loading would (a file damaged
    or missing, tensors that do not match the config, another model's tokenizer), where any value is not finite, and
    where the model card is missing.
    """
    with verification(True):
        return _verified(Path(folder))


def renew_manifest(folder: str | Path) -> VerifiedWeights:
    """Write the manifest of a weights folder whose files were edited on purpose, and return what the folder holds.

    Raises ValueError as `verify_weights` does, except for files that differ from the old manifest; nothing is written
    then. A folder of an earlier format gets its first manifest.
    """
    folder = Path(folder)
    with verification(False):
        names = _verified(folder).names
    with claimed(Output(path=folder / MANIFEST_NAME, overwrite=True)):
        entries = flushed_entries(folder, [name for name in names if name in MODEL_FILES])
        write_text(folder / MANIFEST_NAME, Manifest(kind="weights", files=entries).text)
    return verify_weights(folder)


def _verified(folder: Path) -> VerifiedWeights:
    parts = load_parts(folder)
    absent = [
        *([TOKENIZER_NAME] if parts.tokenizer is None else []),
        # Loading refuses a folder that should have one.
        *([] if (folder / MANIFEST_NAME).exists() else [MANIFEST_NAME]),
    ]
    names = tuple(name for name in FILE_NAMES if name not in absent)
    check_files(folder, names)
    for name, tensor in parts.tensors.items():
        num_bad = tensor.numel() - int(tensor.isfinite().sum())
        if num_bad:
            raise ValueError(
                f"{folder / TENSORS_NAME}: {num_bad:,} of the {tensor.numel():,} values of {name} are not finite;"
                " training diverged or a dtype overflowed: save the weights of an earlier step, or in float32"
            )
    return VerifiedWeights(names=names, num_parameters=sum(tensor.numel() for tensor in parts.tensors.values()))
