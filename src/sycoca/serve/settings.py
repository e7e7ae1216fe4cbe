"""Settings of the server: its limits, and who may use it. Imports no FastAPI, so that help appears fast."""

import re
from dataclasses import dataclass, field, fields

_MIB = 2**20

MIN_TOKEN_CHARACTERS = 16
"""Fewest characters of a token: 16 random ones of base64 have 96 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """Limits of the server. Errors name the setting that refuses a request."""

    max_batch_size: int = 16
    """Most requests that are computed in one forward pass."""

    batch_wait_seconds: float = 0.005
    """How long a request waits for others of its kind, so that they are computed together."""

    max_requests: int = 64
    """Most requests that are received, wait or are computed at a time; further ones get status 429."""

    max_connections: int = 1000
    """Most open connections; requests on further ones get status 503."""

    max_upload_bytes: int = 20 * _MIB
    """Most bytes of a request's body: its image and its texts."""

    max_text_characters: int = 2000
    """Most characters of a caption, a question, a search text, a condition or the name of a class."""

    max_class_names: int = 200
    """Most class names of a request."""

    max_hits: int = 200
    """Most hits of a search."""

    max_beams: int = 16
    """Most beams of a caption; with guidance each counts twice."""

    upload_seconds: float = 30.0
    """How long a client may take to send a request."""

    answer_seconds: float = 60.0
    """How long a request may wait and be computed, once it is received; later it gets status 504."""

    decoding_threads: int = 2
    """Images that are decoded at a time. Each takes up to SYCOCA_MAX_DECODED_BYTES of memory."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            least = 0 if one.name == "batch_wait_seconds" else 1 if isinstance(value, int) else 0.001
            if not value >= least:
                raise ValueError(f"{one.name} must be at least {least}, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Who may use the server."""

    token: str | None = field(default=None, repr=False)
    """What requests must carry as ``Authorization: Bearer TOKEN``; None asks for none."""

    host: str = "127.0.0.1"
    """The address that the server listens at."""

    allowed_hosts: tuple[str, ...] = ()
    """Names of this server in addresses, beside localhost, numeric addresses and ``host``."""

    def __post_init__(self) -> None:
        for name in self.allowed_hosts:
            if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
                raise ValueError(
                    f"allowed_hosts has {name!r}: give the name alone, such as photos.example.com, without scheme, port"
                    " and path"
                )
        if self.token is None:
            return
        if len(self.token) < MIN_TOKEN_CHARACTERS:
            raise ValueError(
                f"the token has {len(self.token)} characters and needs at least {MIN_TOKEN_CHARACTERS};"
                " openssl rand -hex 16 makes one"
            )
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise ValueError("the token holds spaces or characters that are not ASCII, which no HTTP header can carry")
