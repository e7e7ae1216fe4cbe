"""Which requests are meant for this server: addresses that it may listen at, Host and Origin of requests."""

import ipaddress
import socket
from collections.abc import Mapping

from sycoca.serve.settings import Access


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(access: Access, *, is_public: bool) -> None:
    """Raise ValueError where others could use the server without a token, and nobody has said that they may."""
    if access.token is None and not is_public and not is_loopback(access.host):
        raise ValueError(
            f"at --host {access.host} anybody who reaches this machine could use the server: set the environment"
            " variable SYCOCA_TOKEN to a secret of your choice, or add --public"
        )


def why_not_meant(headers: Mapping[str, str], access: Access) -> str | None:
    """Return why a request is refused by its Host and Origin; None where it is meant for this server.

    A web page of another site could otherwise use a server that only this machine reaches: through its visitor's
    browser (Origin), or by giving its own name this machine's address (DNS rebinding; Host).
    """
    host = headers.get("host", "")
    name = _name_in(host)
    if name is None or not _is_own(name, access):
        return (
            f"this server does not answer to the name {host[:100]!r}; start it with --allowed-hosts and the names that"
            " people use"
        )
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return f"requests of pages from {origin[:100]!r} are not answered"
    return None


def _name_in(host: str) -> str | None:
    """Return the name in a Host header, without the port; None where it is none."""
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    if not (port == "" or port.isdecimal()):
        return None
    return name.removeprefix("[").removesuffix("]").lower().removesuffix(".") or None


def _is_own(name: str, access: Access) -> bool:
    # A numeric address cannot be rebound to another machine, so a page that uses one is of this machine.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        own = {"localhost", access.host.lower(), *(host.lower() for host in access.allowed_hosts)}
        if not is_loopback(access.host):
            own.add(socket.gethostname().lower())
        return name in own
    return True
