"""Weights folders for others to use."""

from pathlib import Path

from sycoca.weights.hub import upload
from sycoca.weights.verification import verify_weights


def push_to_hub(
    weights: str | Path,
    repository: str,
    *,
    private: bool = False,
    commit_message: str = "Weights of sycoca",
    token: str | None = None,
) -> str:
    """Publish a weights folder at the Hugging Face Hub as owner/name; return the address of the commit.

    The folder is verified first, and nothing but its own files is uploaded; the repository is made where there is
    none, and files of the same names there are replaced. ``private``: whether only its owners can read a new
    repository; one that is there stays as it is. ``token``: None takes that of ``hf auth login`` or HF_TOKEN.

    Raises ValueError where the folder is not sound (see `verify_weights`), without a token, where it may not write
    there, and where ``private`` weights would go to a public repository; ConnectionError where the Hub cannot be
    reached.
    """
    folder = Path(weights)
    names = verify_weights(folder)
    return upload(folder, names, repository, private=private, message=commit_message, token=token)
