"""Who may listen where, and which requests are meant for a server."""

import pytest

from sycoca.serve.hosts import check_exposure, is_loopback, why_not_meant
from sycoca.serve.settings import Access

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost", "::1"])
def test_this_machine_alone_needs_no_token(host: str):
    assert is_loopback(host)
    check_exposure(Access(host=host), is_public=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "gpu-box"])
def test_others_are_let_in_with_a_token_or_on_purpose(host: str):
    with pytest.raises(ValueError, match="SYCOCA_TOKEN to a secret of your choice, or add --public"):
        check_exposure(Access(host=host), is_public=False)
    check_exposure(Access(host=host, token=TOKEN), is_public=False)
    check_exposure(Access(host=host), is_public=True)


@pytest.mark.parametrize("token", ["short", "with spaces in the token", "täglich-ein-neues-token", "x" * 16 + "\n"])
def test_tokens_that_protect_nothing_are_refused(token: str):
    with pytest.raises(ValueError, match="the token"):
        Access(token=token)


def test_a_token_is_never_shown():
    assert TOKEN not in repr(Access(token=TOKEN))


@pytest.mark.parametrize(
    ("host", "is_meant"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("[::1]:8000", True),
        ("192.168.1.4:8000", True),  # a numeric address cannot be rebound
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("photos.example", False),
        ("127.0.0.1:8000@evil.example", False),
        ("", False),
    ],
)
def test_names_of_other_machines_are_refused(host: str, is_meant: bool):
    assert (why_not_meant({"host": host}, Access()) is None) == is_meant


def test_more_names_can_be_allowed():
    access = Access(host="gpu-box", allowed_hosts=("photos.example",))
    for name in ("gpu-box:80", "photos.example", "photos.example:443", "Photos.Example."):
        assert why_not_meant({"host": name}, access) is None
    assert "--allowed-hosts" in str(why_not_meant({"host": "other.example"}, access))


@pytest.mark.parametrize(
    "name",
    ["photos.example:443", "https://photos.example", "photos.example/a", "*", "*.example", "", "photos.example."],
)
def test_a_name_that_no_request_has_is_refused(name: str):
    with pytest.raises(ValueError, match="give the name alone"):
        Access(allowed_hosts=(name,))


@pytest.mark.parametrize(
    ("origin", "is_meant"),
    [
        ("http://localhost:8000", True),
        ("https://localhost:8000", True),  # behind a proxy that encrypts
        ("http://localhost:3000", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_other_sites_are_refused(origin: str, is_meant: bool):
    reason = why_not_meant({"host": "localhost:8000", "origin": origin}, Access())
    assert (reason is None) == is_meant


def test_a_server_for_others_answers_to_the_name_of_its_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Node17")
    assert why_not_meant({"host": "node17:8000"}, Access(host="0.0.0.0")) is None
    assert why_not_meant({"host": "node17:8000"}, Access()) is not None
