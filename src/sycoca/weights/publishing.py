"""Publishing of weights folders on the Hugging Face Hub."""

from pathlib import Path

from sycoca.keywords import suggests_keywords
from sycoca.weights.config import CARD_NAME
from sycoca.weights.config_file import read_plain_config
from sycoca.weights.folder import check_files
from sycoca.weights.hub import is_at_hub, upload
from sycoca.weights.verification import verify_weights


@suggests_keywords
def push_to_hub(
    weights: str | Path,
    repository: str,
    *,
    private: bool = False,
    commit_message: str = "Weights of sycoca",
    token: str | None = None,
) -> str:
    """Publish a weights folder on the Hugging Face Hub as owner/name; return the URL of the commit.

    The folder is verified first, and only its own files are uploaded. The repository is created if it does not exist;
    files of the same names are replaced, and those of a weights folder that this one lacks are deleted. ``private``:
    whether only its owners can read a new repository; an existing one does not change. ``token``: None takes that of
    ``hf auth login`` or HF_TOKEN.

    Raises ValueError where the folder is not valid (see `verify_weights`), lacks its model card or is an adapter of a
    local folder, without a token, without permission to write, and where ``private`` weights would go to a public
    repository; ConnectionError where the Hub cannot be reached.
    """
    folder = Path(weights)
    names = verify_weights(folder).names
    check_files(folder, (*names, CARD_NAME))
    _refuse_local_base(folder)
    return upload(folder, names, repository, private=private, message=commit_message, token=token)


def _refuse_local_base(folder: Path) -> None:
    """Raise ValueError for an adapter that names a folder of this machine: nobody else could load it."""
    adapter = read_plain_config(folder).get("adapter")
    if adapter is not None and not is_at_hub(adapter["base"]):
        raise ValueError(
            f"{folder} is an adapter of {adapter['base']}, which nobody else has: publish the whole model that sycoca"
            f" merge {folder} --out FOLDER writes, or fine-tune from weights at the Hub (hf:owner/name)"
        )
