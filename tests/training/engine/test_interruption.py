import os
import signal
import threading

import pytest

from sycoca.training.engine import interruption
from sycoca.training.engine.interruption import StopSignal, TrainingInterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signal_raises_the_flag_only(number: signal.Signals):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert stop.number == 0
        signal.raise_signal(number)
        assert stop.number > 0
    assert signal.getsignal(number) is before


def test_two_signals_in_a_row_are_one_request():
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM


def test_a_later_signal_interrupts_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interruption, "REPEATED_WITHIN_SECONDS", 0.0)
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.number > 0


def test_the_end_of_torchrun_is_a_sigterm(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("LOCAL_RANK", "0")
    parent = os.getppid()
    assert StopSignal().number == 0
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    with StopSignal() as stop:
        assert stop.number == 0
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert [stop.number, stop.number] == [signal.SIGTERM] * 2
    assert caplog.messages == ["torchrun has ended without its processes; stopping as after a SIGTERM"]
    # A process that was forked since has this one as its parent.
    monkeypatch.setattr(interruption, "_STARTED_AS", (parent, 0))
    assert StopSignal().number == 0


def test_other_threads_leave_signals_alone():
    seen = []

    def enter() -> None:
        with StopSignal() as stop:
            seen.append(stop.number > 0)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]


def test_message_says_how_to_go_on():
    interrupted = TrainingInterrupted("sycoca pretrain --resume runs/x", 120)
    assert str(interrupted) == (
        "stopped after step 120, checkpoint saved; resume with: sycoca pretrain --resume runs/x"
    )
