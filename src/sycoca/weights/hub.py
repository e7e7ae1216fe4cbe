"""Download from and upload to the Hugging Face Hub. Only this module uses the Hub's library; imports no torch.

Nothing is sent over the network unless a user names a repository on the Hub, as hf:owner/name.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sycoca._version import __version__
from sycoca.weights.config import CONFIG_NAME, FILE_NAMES, OPEN_CLIP_CONFIG_NAME
from sycoca.weights.config_file import read_plain_config

logger = logging.getLogger(__name__)

_PREFIX = "hf:"

_LOG_IN = "log in (hf auth login) or set HF_TOKEN"

_announced: set[tuple[str, str]] = set()
"""Endpoints and repositories that this process has logged at INFO."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubRepository:
    """A model repository on the Hub, with a revision."""

    name: str
    """owner/name."""

    revision: str | None = None
    """A branch, a tag or a commit; None for the newest commit."""

    @classmethod
    def parse(cls, text: str) -> "HubRepository":
        """Parse hf:owner/name or hf:owner/name@revision. Raises ValueError for anything else."""
        match = re.fullmatch(rf"{_PREFIX}([\w.-]+/[\w.-]+)(?:@(.+))?", text)
        if match is None:
            raise ValueError(f"{text!r} is not a repository on the Hugging Face Hub; write hf:owner/name[@revision]")
        return cls(name=match[1], revision=match[2])

    def __str__(self) -> str:
        return _PREFIX + self.name + ("" if self.revision is None else f"@{self.revision}")


def is_at_hub(weights: str | Path) -> bool:
    """Return whether weights are named by a repository on the Hub; a Path never is such a name."""
    return isinstance(weights, str) and weights.startswith(_PREFIX)


def local_weights(weights: str | Path) -> Path:
    """Return the local folder of weights: a path as it is; hf:owner/name[@revision] is fetched unless it is cached.

    Fetched files stay in the Hub's own cache (HF_HOME), which also works offline. What will be fetched from where is
    logged before anything is sent over the network. Raises ValueError where the repository or revision does not exist,
    is not readable or is not a weights folder; ConnectionError where the Hub cannot be reached.
    """
    if not is_at_hub(weights):
        return Path(weights)
    return _fetched(HubRepository.parse(str(weights)))


def pinned_weights(weights: str) -> str:
    """Return a name of exactly these weights: a Hub repository with its current commit as revision, a path as it is.

    Fetches and raises as `local_weights` does.
    """
    if not is_at_hub(weights):
        return weights
    repository = HubRepository.parse(weights)
    return str(HubRepository(name=repository.name, revision=_commit(_fetched(repository))))


def upload(
    folder: Path, names: Sequence[str], repository: str, *, private: bool, message: str, token: str | None = None
) -> str:
    """Commit files of a folder to a repository, which is created if it does not exist; return the commit's URL.

    Other files of a weights folder that the repository has, such as the manifest of earlier weights, are deleted.
    Raises ValueError for anything but owner/name, without a token, without permission to write, and where ``private``
    files would go to a public repository; ConnectionError where the Hub cannot be reached.
    """
    target = HubRepository.parse(_PREFIX + repository.removeprefix(_PREFIX))
    if target.revision is not None:
        raise ValueError(f"{repository}: weights are published on a repository's main branch; leave out the revision")
    from huggingface_hub import HfApi, get_token

    if token is None and get_token() is None:
        raise ValueError(f"publishing {target} needs a token of the Hugging Face Hub: {_LOG_IN}")
    api = HfApi(token=token, library_name="sycoca", library_version=__version__)
    with _explained("publishing", target, "the token in use"):
        api.create_repo(target.name, private=private, exist_ok=True)
        if private and not api.model_info(target.name).private:
            raise ValueError(f"{target} already exists and is public; make it private, or choose another name")
        commit = api.upload_folder(
            repo_id=target.name,
            folder_path=folder,
            allow_patterns=list(names),
            delete_patterns=[name for name in FILE_NAMES if name not in names],
            commit_message=message,
        )
    return str(commit.commit_url)


def _fetched(repository: HubRepository) -> Path:
    endpoint = _endpoint()
    # A run asks several times for the same weights.
    level = logging.DEBUG if (endpoint, repository.name) in _announced else logging.INFO
    logger.log(level, "fetching %s from %s, unless the cache has it: %s", repository, endpoint, ", ".join(FILE_NAMES))
    _announced.add((endpoint, repository.name))
    # The small files first: for a repository of another library, gigabytes would be fetched in vain.
    folder = _snapshot(repository, (CONFIG_NAME, OPEN_CLIP_CONFIG_NAME))
    _check_kind(repository, folder)
    # The same commit, even if there is a newer one by now.
    return _snapshot(HubRepository(name=repository.name, revision=_commit(folder)), FILE_NAMES)


def _snapshot(repository: HubRepository, names: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    with _explained("fetching", repository, _reader()):
        return Path(
            snapshot_download(
                repository.name,
                revision=repository.revision,
                allow_patterns=list(names),
                library_name="sycoca",
                library_version=__version__,
            )
        )


def _commit(folder: Path) -> str:
    # The cache names the folder of a commit by its hash.
    return folder.name


def _check_kind(repository: HubRepository, folder: Path) -> None:
    """Raise ValueError where a repository is not a weights folder, or one of a newer version."""
    config = folder / CONFIG_NAME
    if config.is_file() and '"format_version"' in config.read_text(encoding="utf-8", errors="replace"):
        read_plain_config(folder)
    elif (folder / OPEN_CLIP_CONFIG_NAME).is_file():
        raise ValueError(
            f"{repository} is a checkpoint of open_clip: download it with hf download {repository.name}, then convert"
            " it with sycoca convert from-open-clip"
        )
    else:
        raise ValueError(
            f"{repository} is not a weights folder: it has no {CONFIG_NAME} with a format_version; sycoca convert"
            " --help lists other formats that can be converted"
        )


@contextmanager
def _explained(action: str, repository: HubRepository, user: str) -> Iterator[None]:
    """Turn the Hub library's errors, which have many lines, into one line that says what to do."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except (_network_error(), LocalEntryNotFoundError, OfflineModeIsEnabled, RuntimeError) as error:
        refusal = _refusal(error, repository, user)
        if refusal is not None:
            raise ValueError(refusal) from error
        # The messages of these two say little; their cause says more.
        reason = (isinstance(error, LocalEntryNotFoundError | RuntimeError) and error.__cause__) or error
        otherwise = "; a copied folder can be named by its path" if action == "fetching" else ""
        raise ConnectionError(
            f"{action} {repository} failed, {_endpoint()} does not answer as expected: {_one_line(reason)}{otherwise}"
        ) from error


def _network_error() -> type[Exception]:
    """Return the base class of network errors: httpx's HTTPError, or what requests derives its own from."""
    from huggingface_hub.errors import HTTPError

    (base,) = HTTPError.__bases__
    # huggingface_hub before 1.0 uses requests, where a refused connection is no HTTPError.
    return base if issubclass(base, Exception) and base is not Exception else HTTPError


def _refusal(error: Exception, repository: HubRepository, user: str) -> str | None:
    """Return why the Hub refused the request, and what to do about it; None for other errors."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{_endpoint()}/{repository.name}"
    match error:
        case GatedRepoError():
            return f"{repository} is a gated repository: agree to its terms at {page}, and {_LOG_IN}"
        case RepositoryNotFoundError():
            return f"{page} does not exist, or is hidden from {user}; check the name, or {_LOG_IN}"
        case RevisionNotFoundError():
            return f"{page} has no revision {repository.revision!r}; name a branch, a tag or a commit"
        case LocalEntryNotFoundError():  # an HfHubHTTPError without an answer before huggingface_hub 1.0
            return None
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"{page} refuses {user}: {_one_line(error)}; {_LOG_IN}"
        case _:
            return None


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _reader() -> str:
    from huggingface_hub import get_token

    return "users without a token" if get_token() is None else "the token in use"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
