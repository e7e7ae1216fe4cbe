"""Requests that are refused: a status, a reason, and the setting that would have to be another."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException

from sycoca.unusable import UnusableSampleError


class RefusedError(HTTPException):
    """A request that is refused; the answer is ``{"error", "setting"}``."""

    def __init__(
        self, status: int, reason: str, setting: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, reason, dict(headers or {}))
        self.setting = setting


def error_body(reason: str, setting: str | None = None) -> dict[str, Any]:
    """Return the JSON of every answer that is an error."""
    return {"error": reason, "setting": setting}


def too_large(what: str, setting: str, limit: int | float, unit: str) -> RefusedError:
    """Return the refusal of what exceeds a limit, with status 413."""
    return RefusedError(413, f"{what}; the limit is {limit:,} {unit} ({setting})", setting)


def refusal_of_image(error: UnusableSampleError) -> RefusedError:
    """Return the refusal of an image that cannot be read, or exceeds the limit that the error's message names."""
    reason = str(error)
    variable = re.search(r"\bSYCOCA_MAX_[A-Z_]+", reason)
    return RefusedError(422, reason) if variable is None else RefusedError(413, reason, variable[0])
