import logging
import os
import subprocess
import sys

import pytest

from sycoca._version import __version__
from sycoca.cli import main as main_module
from sycoca.cli.help_text import COMMON_OPTIONS
from sycoca.cli.main import SPIN_COUNT, main
from sycoca.cli.shared.usage import UsageError
from sycoca.cli.tree import NAMES, TREE

SLOW = {"torch", "tyro", "numpy", "PIL", "rich"}


class Behavior:
    """Arguments of a command that does what a test wants."""

    def __init__(self, run) -> None:
        self.run = run


def use(monkeypatch: pytest.MonkeyPatch, behave) -> None:
    """Let every command do this."""
    monkeypatch.setattr(main_module, "parse", lambda words: Behavior(lambda: behave(words)))


def test_help_lists_every_command_below_its_heading(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for heading, nodes in TREE.items():
        section = text.split(f"\n{heading}:\n")[1].split("\n\n")[0].splitlines()
        assert [line.split()[0] for line in section] == list(nodes)
        assert all(node.summary in line for node, line in zip(nodes.values(), section, strict=True))
    assert all(option in text for option in COMMON_OPTIONS)
    assert main(["help"]) == 0
    assert capsys.readouterr().out == text


def test_without_a_command_help_goes_to_stderr_and_the_code_is_two(capsys):
    main(["--help"])
    text = capsys.readouterr().out
    assert main([]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", text)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), ([], 2), (["evaluate"], 2), (["pretrain", "--help"], 0), (["foo"], 2)]
)
def test_help_and_wrong_commands_need_nothing_slow(arguments: list[str], code: int):
    program = (
        "import sys; from sycoca.cli.main import main;"
        f"assert main({arguments!r}) == {code};"
        f"assert not {SLOW!r} & set(sys.modules), set(sys.modules)"
    )
    before = os.times()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    after = os.times()
    # Of the processor, not of the clock: machines that run tests are busy.
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert seconds < 0.5


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sycoca {__version__}\n"


def test_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "sycoca", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("sycoca: there is no command 'nothing'; allowed: quickstart")


def test_options_of_every_command_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch):
    seen, levels = [], []

    def behave(words: list[str]) -> int:
        seen.append(words)
        levels.append(logging.getLogger("sycoca").level)
        return 7

    use(monkeypatch, behave)
    assert main(["caption", "a", "--debug", "b"]) == 7
    assert main(["--verbose", "caption", "a", "--", "--quiet"]) == 7
    assert main(["caption", "--quiet"]) == 7
    assert seen == [["caption", "a", "b"], ["caption", "a", "--", "--quiet"], ["caption"]]
    assert levels == [logging.INFO, logging.DEBUG, logging.WARNING]


def test_verbose_and_quiet_exclude_each_other(capsys):
    assert main(["caption", "--quiet", "--verbose"]) == 2
    assert capsys.readouterr().err == "sycoca caption: give --verbose or --quiet, not both\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("x must be 1,\n  got 2"), "x must be 1, got 2\n"),
        (FileNotFoundError(2, "No such file", "a.txt"), "[Errno 2] No such file: 'a.txt'\n"),
        (KeyError("name"), "KeyError: 'name'\n"),
        (ValueError(), "ValueError: \n"),
        (ValueError("x" * 601), f"{'x' * 600} ... (all of it with --debug)\n"),
    ],
)
def test_error_is_one_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys, error: Exception, line: str):
    def fail(_: list[str]) -> int:
        raise error

    use(monkeypatch, fail)
    assert main(["evaluate", "vqa", "weights"]) == 1
    assert capsys.readouterr().err == f"sycoca evaluate vqa: {line}"
    with pytest.raises(type(error)):
        main(["evaluate", "vqa", "--debug"])


def test_wrong_usage_and_interruption_have_their_codes(monkeypatch: pytest.MonkeyPatch, capsys):
    def misuse(_: list[str]) -> int:
        raise UsageError("no such flag")

    def interrupt(_: list[str]) -> int:
        raise KeyboardInterrupt

    use(monkeypatch, misuse)
    assert main(["caption"]) == 2
    use(monkeypatch, interrupt)
    assert main(["caption"]) == 130
    assert capsys.readouterr().err == "sycoca caption: no such flag\nsycoca caption: interrupted; no file was written\n"


@pytest.mark.parametrize("words", [["--help"], ["pretrain", "tiny", "--help"]])
def test_reader_that_has_seen_enough_is_no_error(words: list[str]):
    code = f"import sys; from sycoca.cli.main import main; sys.exit(main({words!r}))"
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    assert program.stderr.read() == ""
    program.stderr.close()
    assert program.wait() == 0


def environment_of_a_command(*options: str, **variables: str) -> tuple[str, str]:
    """Return GOMP_SPINCOUNT and stderr of a command that runs in a process of its own."""
    code = (
        "import os, sys; from sycoca.cli import main as program\n"
        "class Arguments:\n"
        "    def run(self):\n"
        "        print(os.environ.get('GOMP_SPINCOUNT')); return 0\n"
        "program.parse = lambda words: Arguments()\n"
        f"sys.exit(program.main(['caption', *{options!r}]))"
    )
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip(), done.stderr


def test_openmp_threads_sleep_sooner_unless_the_user_says_otherwise():
    assert environment_of_a_command() == (SPIN_COUNT, "")
    assert environment_of_a_command(GOMP_SPINCOUNT="7") == ("7", "")
    assert environment_of_a_command(OMP_WAIT_POLICY="PASSIVE") == ("None", "")


def test_verbose_says_how_openmp_threads_wait():
    assert f"GOMP_SPINCOUNT={SPIN_COUNT} set" in environment_of_a_command("--verbose")[1]
    assert "GOMP_SPINCOUNT=7 is set" in environment_of_a_command("--verbose", GOMP_SPINCOUNT="7")[1]


def test_nothing_is_set_where_pytorch_is_imported_already(monkeypatch: pytest.MonkeyPatch):
    import torch

    assert torch
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    use(monkeypatch, lambda _: 0)
    assert main(["caption"]) == 0
    assert "GOMP_SPINCOUNT" not in os.environ


def test_names_are_those_of_the_tree():
    assert list(NAMES) == [name for nodes in TREE.values() for name in nodes]
