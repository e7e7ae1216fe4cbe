"""Recognize that there is no more space to write to, whatever the system and the libraries call it."""

import errno
import os
import re
from collections.abc import Mapping

REASONS: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the limit of this shell (ulimit -f) or of the file system",
}
"""What each error of the system means for its user."""

_OS_ERROR = re.compile(r"\(os error (\d+)\)|\bOs \{ code: (\d+),")
"""The number in messages of safetensors, of new versions and of old ones."""


def disk_full_reason(error: BaseException) -> str | None:
    """Return why there is no space, one of `REASONS`; None for other errors."""
    found = system_error(error)
    return None if found is None or found.errno is None else REASONS.get(found.errno)


def system_error(error: BaseException) -> OSError | None:
    """Return the error of the system behind an error of a write: PyTorch and safetensors raise their own."""
    if isinstance(error, OSError):
        return error if error.filename is not None or error.errno in REASONS else None
    context = error.__cause__ or error.__context__
    if isinstance(context, OSError) and context.errno in REASONS:
        return context
    number = _OS_ERROR.search(str(error))
    return None if number is None else OSError(code := int(number[1] or number[2]), os.strerror(code))
