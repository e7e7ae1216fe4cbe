"""``sycoca serve``: what is refused before the server starts, and how it starts and ends."""

import signal
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from builders.serving import get
from sycoca.cli.main import main
from sycoca.serve import server


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYCOCA_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "at --host 0.0.0.0 anybody who reaches this machine could use the server"),
        (["--port", "70000"], "port must be between 0 and 65535, got 70000"),
        (["--max-requests", "0"], "max_requests must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_said_before_weights_are_loaded(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["serve", "no-weights", *options]) == 2
    assert said in capsys.readouterr().err


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("SYCOCA_TOKEN", "short")
    assert main(["serve", "no-weights"]) == 2
    assert "the token has 5 characters" in capsys.readouterr().err
    assert main(["serve", "no-weights", "--token", "0123456789abcdef"]) == 2


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with server.listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(tmp_path), "--port", str(port)]) == 1
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("num_signals", "said"), [(1, "; all requests were answered"), (2, ", without waiting for all answers")]
)
def test_it_says_where_it_answers_and_a_signal_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, num_signals: int, said: str
):
    weights = save_small_weights(tmp_path / "my weights")
    tick = server.Server.on_tick

    async def tick_and_stop(self: server.Server, counter: int) -> bool:
        if counter == 1:
            assert self.started
            for _ in range(num_signals):
                signal.raise_signal(signal.SIGTERM)
        return await tick(self, counter)

    monkeypatch.setattr(server.Server, "on_tick", tick_and_stop)
    assert main(["serve", str(weights), "--port", "0", "--device", "cpu"]) == 143
    out, err = capsys.readouterr()
    assert out.startswith("http://127.0.0.1:")
    assert f"stopped by SIGTERM{said}" in err
    with pytest.raises(ConnectionRefusedError):
        get(int(out.strip().rpartition(":")[2]), "/health")


def test_the_server_names_the_weights_with_the_folder_that_they_lie_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names: list[str] = []
    monkeypatch.setattr("sycoca.serve.application.create_app", lambda *_, name, **__: names.append(name))
    monkeypatch.setattr(server, "run_server", lambda *_: server.Ending(signal=None, has_answered_all=True))
    weights = save_small_weights(tmp_path / "quickstart" / "weights")
    assert main(["serve", str(weights), "--port", "0", "--device", "cpu"]) == 0
    assert names == ["quickstart/weights"]
