import importlib.util
import os
import subprocess
import sys

import pytest

from sycoca._version import __version__
from sycoca.cli import main as main_module
from sycoca.cli.main import COMMANDS, main
from sycoca.cli.shared.usage import UsageError


def use(monkeypatch: pytest.MonkeyPatch, behave) -> None:
    """Let every command do this."""
    monkeypatch.setattr(main_module, "_run", lambda _command, arguments: behave(arguments))


def test_help_is_the_table_of_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, what in COMMANDS.items():
        assert f"  {name}" in text
        assert what in text
    assert main([]) == 0
    assert capsys.readouterr().out == text


def test_every_command_has_its_module():
    assert COMMANDS.keys() == main_module._HOMES.keys()
    for home in main_module._HOMES.values():
        assert importlib.util.find_spec(home) is not None, home


@pytest.mark.parametrize("arguments", [["--help"], ["pretrain", "--help"]])
def test_help_needs_nothing_slow(arguments: list[str]):
    code = (
        "import sys; from sycoca.cli.main import main;"
        f"assert main({arguments!r}) == 0;"
        "assert not {'torch', 'tyro', 'numpy', 'PIL', 'rich'} & set(sys.modules)"
    )
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
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


def test_mistyped_command_is_wrong_usage(capsys):
    assert main(["pretran"]) == 2
    assert capsys.readouterr().err == "sycoca: there is no command 'pretran'; did you mean 'pretrain'?\n"


def test_arguments_and_exit_code_are_the_commands_own(monkeypatch: pytest.MonkeyPatch):
    seen = []
    use(monkeypatch, lambda arguments: seen.extend(arguments) or 7)
    assert main(["caption", "a", "--debug", "b"]) == 7
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("x must be 1,\n  got 2"), "sycoca: x must be 1, got 2\n"),
        (FileNotFoundError(2, "No such file", "a.txt"), "sycoca: [Errno 2] No such file: 'a.txt'\n"),
        (KeyError("name"), "sycoca: KeyError: 'name'\n"),
        (ValueError(), "sycoca: ValueError: \n"),
        (ValueError("x" * 601), f"sycoca: {'x' * 600} ... (all of it with --debug)\n"),
    ],
)
def test_error_is_one_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys, error: Exception, line: str):
    def fail(_: list[str]) -> int:
        raise error

    use(monkeypatch, fail)
    assert main(["caption"]) == 1
    assert capsys.readouterr().err == line
    with pytest.raises(type(error)):
        main(["caption", "--debug"])


def test_wrong_usage_and_interruption_have_their_codes(monkeypatch: pytest.MonkeyPatch, capsys):
    def misuse(_: list[str]) -> int:
        raise UsageError("no such flag")

    def interrupt(_: list[str]) -> int:
        raise KeyboardInterrupt

    use(monkeypatch, misuse)
    assert main(["caption"]) == 2
    use(monkeypatch, interrupt)
    assert main(["caption"]) == 130
    assert capsys.readouterr().err == "sycoca: no such flag\nsycoca: interrupted\n"


def test_reader_that_has_seen_enough_is_no_error():
    code = "import sys; from sycoca.cli.main import main; sys.exit(main(['pretrain', 'tiny', '--help']))"
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    assert program.stderr.read() == ""
    program.stderr.close()
    assert program.wait() == 0
