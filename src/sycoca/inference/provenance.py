"""Which weights results come from: named in reports and files of embeddings, and in FILE.provenance.json beside others.

{"format_version": 1, "weights": "runs/small/weights", "weights_sha256": "...", "dtype": "float32",
 "options": {"num_beams": 1, ...}}
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sycoca.inference.predictor import Predictor
from sycoca.json_lines import ResumableLines
from sycoca.outputs.errors import OutputError
from sycoca.outputs.lease import Lease
from sycoca.outputs.manifest import MANIFEST_NAME, Manifest
from sycoca.outputs.tensor_bytes import tensor_bytes
from sycoca.plain_data import to_plain, write_text
from sycoca.texts import shortened
from sycoca.weights.config import READ_FILES
from sycoca.weights.hub import local_weights

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Increases when the files change in a way that older versions cannot read."""

LOADED = "a loaded model"
"""The name of weights that were given as a `Predictor`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultProvenance:
    """The model that computed results, and the options that decide them."""

    weights: str
    """The weights as they were named; `LOADED` for a loaded model."""

    weights_sha256: str
    """SHA-256 of the weights' files, or of the parameters of a loaded model; see `weights_digest`."""

    dtype: str
    """Number format of the weights at inference, such as "float32"."""

    options: Mapping[str, object] = field(default_factory=dict)
    """Options that change results, such as those of decoding."""

    def model(self) -> dict[str, str]:
        """Return what identifies the model, for reports and metadata."""
        return {"weights": self.weights, "weights_sha256": self.weights_sha256, "dtype": self.dtype}


def provenance_of(weights: Predictor | str | Path, predictor: Predictor, options: object = None) -> ResultProvenance:
    """Return the provenance of results of weights, loaded as ``predictor``, with a dataclass of options."""
    return ResultProvenance(
        weights=weights_name(weights),
        weights_sha256=weights_digest(weights),
        dtype=predictor.dtype,
        options={} if options is None else to_plain(options),
    )


def weights_name(weights: Predictor | str | Path) -> str:
    """Return what weights are called where results are written down."""
    return LOADED if isinstance(weights, Predictor) else str(weights)


def weights_digest(weights: Predictor | str | Path) -> str:
    """Return a SHA-256 of the files of weights, or of the parameters of a loaded model."""
    if isinstance(weights, Predictor):
        state = weights.model.state_dict()
        return lines_digest(f"{name} {hashlib.sha256(tensor_bytes(state[name])).hexdigest()}" for name in sorted(state))
    folder = local_weights(weights)
    if (folder / MANIFEST_NAME).exists():
        files = Manifest.read(folder).files
        return lines_digest(f"{name} {files[name]['sha256']}" for name in sorted(files))
    return lines_digest(f"{name} {_file_digest(folder / name)}" for name in READ_FILES if (folder / name).exists())


def provenance_path(path: Path) -> Path:
    """Return where the provenance of a file is written: FILE.provenance.json."""
    return path.with_name(f"{path.name}.provenance.json")


def write_provenance(path: Path, provenance: ResultProvenance) -> None:
    """Write the provenance of a file beside it, in place of that of an earlier file."""
    plain = {"format_version": FORMAT_VERSION, **asdict(provenance)}
    write_text(provenance_path(path), json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def result_lines(
    path: Path, provenance: ResultProvenance, *, resume: bool, lease: Lease | None = None
) -> ResumableLines:
    """Return a file of lines for results, whose provenance is written beside it before the first line.

    Raises OutputError where a file is resumed that was begun with other weights or options. One without provenance, of
    an earlier version, is resumed with a warning.
    """
    if resume and path.exists():
        _check_resumed(path, provenance)
    return ResumableLines(path, resume=resume, lease=lease, begin=partial(_begin, path, provenance))


@contextmanager
def with_provenance(path: Path, provenance: ResultProvenance) -> Iterator[None]:
    """Context for the writing of a file in one piece: its provenance is beside it afterwards.

    That of an earlier file is deleted first, so that an interruption leaves none of another model.
    """
    provenance_path(path).unlink(missing_ok=True)
    yield
    write_provenance(path, provenance)


def read_provenance(path: Path) -> ResultProvenance | None:
    """Return the provenance of a file; None where there is none. Raises OutputError for one that cannot be read."""
    beside = provenance_path(path)
    try:
        plain = json.loads(beside.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as error:
        raise OutputError(f"{beside} cannot be read: {shortened(str(error))}; delete it") from error
    match plain:
        case {
            "format_version": int(version),
            "weights": str() as weights,
            "weights_sha256": str() as digest,
            "dtype": str() as dtype,
            "options": dict() as options,
        } if version == FORMAT_VERSION:
            return ResultProvenance(weights=weights, weights_sha256=digest, dtype=dtype, options=options)
        case _:
            raise OutputError(f"{beside} is no provenance that this version of sycoca reads; delete it")


def first_difference(
    known: Mapping[str, Any], own: Mapping[str, Any], meanings: Mapping[str, str] | None = None
) -> str | None:
    """Return a clause about the first difference of what results come from, None where there is none.

    Options are compared by their own names. ``meanings``: by name what is said where the values say nothing. Weights
    are compared by their SHA-256, since they may lie elsewhere on another machine.
    """
    was, is_now = dict(_compared(known)), dict(_compared(own))
    for name in {**is_now, **was}:
        if was.get(name) != is_now.get(name):
            if name == "weights_sha256":
                return _other_weights(known.get("weights"), own.get("weights"))
            values = f"{name} was {shortened(repr(was.get(name)))}, is {shortened(repr(is_now.get(name)))}"
            return (meanings or {}).get(name, values)
    return None


def lines_digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines of text."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _begin(path: Path, provenance: ResultProvenance) -> None:
    # The file goes first, so that an interruption leaves no lines beside the provenance of others.
    path.unlink(missing_ok=True)
    write_provenance(path, provenance)


def _check_resumed(path: Path, provenance: ResultProvenance) -> None:
    known = read_provenance(path)
    if known is None:
        logger.warning(f"{path} does not say which weights and options began it; it is continued with those given")
        return
    difference = first_difference(asdict(known), asdict(provenance))
    if difference is not None:
        raise OutputError(
            f"{path} was begun with other arguments: {difference}; --overwrite starts over, or choose another name"
        )


def _other_weights(known: object, own: object) -> str:
    if (known == LOADED) != (own == LOADED):
        return f"the weights were {known} and are {own}, and only two of a kind can be compared"
    return "the weights are not the same"


def _compared(plain: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield what is compared, options by their own names."""
    for name, value in plain.items():
        if isinstance(value, Mapping):
            yield from _compared(value)
        elif name != "weights":
            yield name, value


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
