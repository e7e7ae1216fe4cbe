"""Verification of weights before they are published: stricter than loading."""

from pathlib import Path

from sycoca.outputs.manifest import MANIFEST_NAME, verification
from sycoca.weights.config import FILE_NAMES, TENSORS_NAME, TOKENIZER_NAME
from sycoca.weights.folder import check_files
from sycoca.weights.parts import load_parts


def verify_weights(folder: str | Path) -> tuple[str, ...]:
    """Check a weights folder, or that of an image encoder alone; return the names of its files.

    It is compared with its manifest whether or not loading does. Raises ValueError where loading would (a file damaged
    or missing, tensors that do not match the config, another model's tokenizer), where any value is not finite, and
    where the model card is missing.
    """
    folder = Path(folder)
    with verification(True):
        parts = load_parts(folder)
    absent = [
        *([TOKENIZER_NAME] if parts.tokenizer is None else []),
        # Loading has refused a folder that should have one.
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
    return names
