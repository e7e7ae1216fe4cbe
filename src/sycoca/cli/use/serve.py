"""``sycoca serve``: answer over HTTP, with a web page."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.usage import UsageError
from sycoca.inference.model_options import DeviceOptions
from sycoca.serve.settings import Access, ServeSettings
from sycoca.stop_signals import STOP_SIGNALS

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "SYCOCA_TOKEN"
"""The environment variable with the token: what is on a command line, everybody on the machine can read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Answer over HTTP: captions, embeddings, answers, classes, explanations and image search, and a web page for them.

    The address is printed on stdout once the server answers there. Ctrl-C or SIGTERM stops it: requests that have come
    by then are answered. The environment variable SYCOCA_TOKEN sets a token, which requests must then carry as
    "Authorization: Bearer TOKEN".
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    index: Annotated[str | None, arg(metavar="INDEX")] = None
    """An index of images to search, made by sycoca index with the same weights."""

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen at. Any other than this machine's own (0.0.0.0: all of them) needs a token, or --public."""

    port: int = 8000
    """Port to listen at; 0 takes a free one."""

    public: bool = False
    """Let anybody who reaches --host use the server without a token."""

    allowed_hosts: Annotated[tuple[str, ...], arg(metavar="NAME...")] = ()
    """Names under which people reach the server, beside localhost, --host and numeric addresses."""

    settings: ServeSettings = field(default_factory=ServeSettings)
    """Limits."""

    model: DeviceOptions = field(default_factory=DeviceOptions)
    """Device and precision."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be between 0 and 65535, got {self.port}")

    def run(self) -> int:
        """Serve until a signal to stop; the address goes to stdout."""
        access = _access(self)
        try:
            from sycoca.search.image_index import open_index
            from sycoca.serve.application import create_app
            from sycoca.serve.server import address_of, listening_socket, run_server
        except ImportError as error:
            raise UsageError(f"{error.name} is not installed: pip install 'sycoca[serve]'") from error
        with listening_socket(self.host, self.port) as listener:
            predictor = self.model.load(self.weights)
            index = None if self.index is None else open_index(self.index, weights=predictor)
            app = create_app(predictor, index, self.settings, access=access, name=_name_of(self.weights))
            print(address_of(listener), flush=True)
            ending = run_server(app, listener, self.settings)
        if ending.signal is None:
            return 0
        answered = "; all requests were answered" if ending.has_answered_all else ", without waiting for all answers"
        logger.info("stopped by %s%s", STOP_SIGNALS[ending.signal].name, answered)
        return STOP_SIGNALS[ending.signal].exit_code


def _name_of(weights: str) -> str:
    """Return what the server calls the weights: with the folder that they lie in, since many are called weights."""
    return PurePath(*Path(weights).absolute().parts[-2:]).as_posix()


def _access(chosen: Arguments) -> Access:
    """Return who may use the server. Raises UsageError where that would be anybody and nobody has said so."""
    from sycoca.serve.hosts import check_exposure

    try:
        access = Access(
            token=os.environ.get(TOKEN_VARIABLE) or None, host=chosen.host, allowed_hosts=chosen.allowed_hosts
        )
        check_exposure(access, is_public=chosen.public)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return access
