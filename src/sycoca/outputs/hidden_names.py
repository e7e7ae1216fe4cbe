"""Names of the hidden files that lie beside an output: leases, and what is not finished."""

import hashlib
import os

_LONGEST_SHOWN_BYTES = 100


def short_name(name: str) -> str:
    """Return a name of a file, or a digest of it where the system might allow no longer one."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST_SHOWN_BYTES else hashlib.sha256(encoded).hexdigest()[:32]
