"""Weights at the Hugging Face Hub: fetched and uploaded. Only this module knows the Hub's library; imports no torch.

Nothing here happens unless a user names a place at the Hub, as hf:owner/name.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sycoca._version import __version__
from sycoca.weights.config import CONFIG_NAME, FILE_NAMES, OPEN_CLIP_CONFIG_NAME, read_plain_config

logger = logging.getLogger(__name__)

_PREFIX = "hf:"

_LOG_IN = "log in (hf auth login) or set HF_TOKEN"

_announced: set[tuple[str, str]] = set()
"""Endpoints and repositories that this process has logged at INFO."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubPlace:
    """A repository of models at the Hub."""

    repository: str
    """owner/name."""

    revision: str | None = None
    """A branch, a tag or a commit; None for the newest commit."""

    @classmethod
    def parse(cls, text: str) -> "HubPlace":
        """Read hf:owner/name or hf:owner/name@revision. Raises ValueError for anything else."""
        found = re.fullmatch(rf"{_PREFIX}([\w.-]+/[\w.-]+)(?:@(.+))?", text)
        if found is None:
            raise ValueError(f"{text!r} names nothing at the Hugging Face Hub; write hf:owner/name[@revision]")
        return cls(repository=found[1], revision=found[2])

    def __str__(self) -> str:
        return _PREFIX + self.repository + ("" if self.revision is None else f"@{self.revision}")


def is_at_hub(weights: str | Path) -> bool:
    """Return whether weights are named by their place at the Hub; a Path never is such a name."""
    return isinstance(weights, str) and weights.startswith(_PREFIX)


def local_weights(weights: str | Path) -> Path:
    """Return the folder of weights: a path as it is; what hf:owner/name[@revision] names is fetched if it is not here.

    Fetched files stay in the Hub's own cache (HF_HOME), where they also serve without a network. What will be fetched
    from where is logged before anything goes over the network. Raises ValueError where there is no such repository or
    revision, where it may not be read, or is no weights folder; ConnectionError where the Hub cannot be reached.
    """
    if not is_at_hub(weights):
        return Path(weights)
    return _fetched(HubPlace.parse(str(weights)))


def pinned_weights(weights: str) -> str:
    """Return a name that means the same weights forever: a place at the Hub with its present commit, a path as it is.

    Fetches and raises as `local_weights` does.
    """
    if not is_at_hub(weights):
        return weights
    place = HubPlace.parse(weights)
    return str(HubPlace(repository=place.repository, revision=_commit(_fetched(place))))


def upload(
    folder: Path, names: Sequence[str], repository: str, *, private: bool, message: str, token: str | None = None
) -> str:
    """Commit files of a folder to a repository, which is made where there is none; return the commit's address.

    Raises ValueError for anything but owner/name, without a token, where it may not write there, and where ``private``
    files would go to a repository that everybody can read; ConnectionError where the Hub cannot be reached.
    """
    place = HubPlace.parse(_PREFIX + repository.removeprefix(_PREFIX))
    if place.revision is not None:
        raise ValueError(f"{repository}: weights are published on a repository's main branch; leave out the revision")
    from huggingface_hub import HfApi, get_token

    if token is None and get_token() is None:
        raise ValueError(f"publishing {place} needs a token of the Hugging Face Hub: {_LOG_IN}")
    api = HfApi(token=token, library_name="sycoca", library_version=__version__)
    with _explained("publishing", place, "the token in use"):
        api.create_repo(place.repository, private=private, exist_ok=True)
        if private and not api.model_info(place.repository).private:
            raise ValueError(f"{place} is there already and everybody can read it; make it private, or choose another")
        commit = api.upload_folder(
            repo_id=place.repository, folder_path=folder, allow_patterns=list(names), commit_message=message
        )
    return str(commit.commit_url)


def _fetched(place: HubPlace) -> Path:
    endpoint = _endpoint()
    # A run asks several times for the same weights.
    level = logging.DEBUG if (endpoint, place.repository) in _announced else logging.INFO
    logger.log(level, "fetching %s from %s, unless the cache has it: %s", place, endpoint, ", ".join(FILE_NAMES))
    _announced.add((endpoint, place.repository))
    # The small files first: of another library's repository gigabytes would be fetched for nothing.
    folder = _snapshot(place, (CONFIG_NAME, OPEN_CLIP_CONFIG_NAME))
    _check_kind(place, folder)
    # Of the same commit, should there be a newer one by now.
    return _snapshot(HubPlace(repository=place.repository, revision=_commit(folder)), FILE_NAMES)


def _snapshot(place: HubPlace, names: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    with _explained("fetching", place, _reader()):
        return Path(
            snapshot_download(
                place.repository,
                revision=place.revision,
                allow_patterns=list(names),
                library_name="sycoca",
                library_version=__version__,
            )
        )


def _commit(folder: Path) -> str:
    # The cache keeps every commit in a folder of that name.
    return folder.name


def _check_kind(place: HubPlace, folder: Path) -> None:
    """Raise ValueError where a repository holds no weights folder, or one of a newer version."""
    config = folder / CONFIG_NAME
    if config.is_file() and '"format_version"' in config.read_text(encoding="utf-8", errors="replace"):
        read_plain_config(folder)
    elif (folder / OPEN_CLIP_CONFIG_NAME).is_file():
        raise ValueError(
            f"{place} is a checkpoint of open_clip: hf download {place.repository} fetches it, sycoca convert"
            " from-open-clip brings it in"
        )
    else:
        raise ValueError(
            f"{place} is no weights folder: it has no {CONFIG_NAME} with a format_version; sycoca convert --help shows"
            " what else can be brought in"
        )


@contextmanager
def _explained(doing: str, place: HubPlace, visitor: str) -> Iterator[None]:
    """Say in one line what went wrong with a place, and what to do: the library's own messages have many."""
    # HTTPError is of the library underneath, another one in every version: the base of all that fails on the way.
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, RuntimeError) as error:
        refusal = _refusal(error, place, visitor)
        if refusal is not None:
            raise ValueError(refusal) from error
        # These two say little themselves.
        reason = (isinstance(error, LocalEntryNotFoundError | RuntimeError) and error.__cause__) or error
        otherwise = "; a folder that is copied here works by its path" if doing == "fetching" else ""
        raise ConnectionError(
            f"{doing} {place} failed, {_endpoint()} does not answer as it should: {_one_line(reason)}{otherwise}"
        ) from error


def _refusal(error: Exception, place: HubPlace, visitor: str) -> str | None:
    """Return why the Hub refuses, and what to do about it; None where it did not come to that."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{_endpoint()}/{place.repository}"
    match error:
        case GatedRepoError():
            return f"{place} is for those who agree to its terms: do so at {page}, and {_LOG_IN}"
        case RepositoryNotFoundError():
            return f"{page} is not there, or is hidden from {visitor}; check the name, or {_LOG_IN}"
        case RevisionNotFoundError():
            return f"{page} has no revision {place.revision!r}; name a branch, a tag or a commit"
        case LocalEntryNotFoundError():  # an HfHubHTTPError without an answer before huggingface_hub 1.0
            return None
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"{page} refuses {visitor}: {_one_line(error)}; {_LOG_IN}"
        case _:
            return None


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _reader() -> str:
    from huggingface_hub import get_token

    return "visitors without a token" if get_token() is None else "the token in use"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
