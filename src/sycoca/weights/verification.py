"""Verification of weights, stricter than loading; and the renewal of a manifest after a folder was edited."""

from dataclasses import dataclass
from pathlib import Path

from sycoca.outputs.manifest import MANIFEST_NAME, Manifest, flushed_entries, verification
from sycoca.outputs.output import Output, claimed
from sycoca.plain_data import write_text
from sycoca.weights.config import ADAPTER_NAME, FILE_NAMES, READ_FILES, TENSORS_NAME, TOKENIZER_NAME
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
    or missing, tensors that do not match the config, another model's tokenizer), and where any value is not finite.
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
        entries = flushed_entries(folder, [name for name in names if name in READ_FILES])
        write_text(folder / MANIFEST_NAME, Manifest(kind="weights", files=entries).text)
    return verify_weights(folder)


def _verified(folder: Path) -> VerifiedWeights:
    parts = load_parts(folder)
    # Loading has refused a folder that lacks a file that it needs. An image encoder alone has no tokenizer.
    unused = () if parts.tokenizer is not None else (TOKENIZER_NAME,)
    names = tuple(name for name in FILE_NAMES if name not in unused and (folder / name).exists())
    # Those of an adapter are merged into its base's, and may be bad in either.
    where = folder if ADAPTER_NAME in names else folder / TENSORS_NAME
    for name, tensor in parts.tensors.items():
        num_bad = tensor.numel() - int(tensor.isfinite().sum())
        if num_bad:
            raise ValueError(
                f"{where}: {num_bad:,} of the {tensor.numel():,} values of {name} are not finite;"
                " training diverged or a dtype overflowed: save the weights of an earlier step, or in float32"
            )
    return VerifiedWeights(names=names, num_parameters=sum(tensor.numel() for tensor in parts.tensors.values()))
