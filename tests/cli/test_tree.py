"""The whole tree: every command has a module, a help page with named placeholders, and one style of error."""

import re
from typing import Any

import pytest

from sycoca.cli.command_line import arguments_class, check, command_module, parse
from sycoca.cli.main import main
from sycoca.cli.shared.usage import UsageError
from sycoca.cli.tree import NAMES, Group, commands
from sycoca.presets.finetune import PRESETS as TASKS
from sycoca.presets.pretrain import PRESETS

GROUPS = [name for name, node in NAMES.items() if isinstance(node, Group)]
LEAVES = [
    *(list(path) for path, _ in commands()),
    *(["pretrain", preset] for preset in PRESETS),
    *(["finetune", task] for task in TASKS),
]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """Return a function that runs a command line that is refused, and returns the one line that is said."""

    def run(*words: str) -> str:
        assert main(list(words)) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.endswith("\n")
        return captured.err.removesuffix("\n")

    return run


def test_every_command_has_arguments_that_run():
    for path, command in commands():
        kind, _ = arguments_class(command)
        assert callable(kind.run), path
        module = command_module(command)
        if hasattr(module, "parse"):
            assert all(callable(getattr(module, name)) for name in ("check", "table")), path


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_names_what_stands_for_a_value(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(['sycoca', *words])}")
    assert re.findall(r"\b(STR|INT|FLOAT|PATH|BOOL)\b", text) == []
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["explain"], "sycoca explain WEIGHTS IMAGE [CAPTION] --out FILE.png [--flag VALUE ...]"),
        (["caption"], "sycoca caption WEIGHTS IMAGE... [--flag VALUE ...]"),
        (["ask"], "sycoca ask WEIGHTS IMAGE|SPEC [QUESTION] [--flag VALUE ...]"),
        (["compare"], "sycoca compare RUN_OR_REPORT... [--flag VALUE ...]"),
        (["evaluate", "vqa"], "sycoca evaluate vqa WEIGHTS --data SPEC [--flag VALUE ...]"),
        (["average"], "sycoca average BEFORE AFTER --out FOLDER [--flag VALUE ...]"),
        (["data", "check"], "sycoca data check SPEC... [--flag VALUE ...]"),
        (["verify"], "sycoca verify WEIGHTS [--flag VALUE ...]"),
        (["push"], "sycoca push WEIGHTS OWNER/NAME [--flag VALUE ...]"),
        (["convert", "to-open-clip"], "sycoca convert to-open-clip WEIGHTS --out FILE|FOLDER [--flag VALUE ...]"),
        (["data", "write-scenes"], "sycoca data write-scenes FOLDER [--flag VALUE ...]"),
        (["data", "write-shards"], "sycoca data write-shards SPEC --out FOLDER [--flag VALUE ...]"),
        (["data", "filter"], "sycoca data filter SPEC --weights WEIGHTS [--flag VALUE ...]"),
        (["export"], "sycoca export WEIGHTS --out FOLDER [--flag VALUE ...]"),
    ],
)
def test_usage_names_all_that_is_required(words: list[str], usage: str, capsys: pytest.CaptureFixture[str]):
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"usage: {usage}"


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_alone_is_its_help_and_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    group = NAMES[name]
    assert isinstance(group, Group)
    for own, command in group.commands.items():
        assert re.search(rf"^  {own} +{re.escape(command.summary)}$", text, re.MULTILINE)
    assert main([name]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", text)


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_what_needs_a_preset_or_task_shows_its_help_alone(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert main([name]) == 2
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("pretran", "sycoca: there is no command 'pretran'; did you mean 'pretrain'?"),
        ("--sed 3", "sycoca: there is no --sed; sycoca --help shows the commands"),
        ("evaluate retreival w", "sycoca evaluate: there is no command 'retreival'; did you mean 'retrieval'?"),
        ("data --json", "sycoca data: there is no --json; sycoca data --help shows the commands"),
        ("evaluate vqa w --dat x", "sycoca evaluate vqa: there is no --dat; did you mean '--data'?"),
        ("evaluate vqa w --data x --xyzzy 1", "sycoca evaluate vqa: there is no --xyzzy; --help shows all flags"),
        ("finetune vqa w --debugg", "sycoca finetune: there is no --debugg; did you mean '--debug'?"),
        (
            "finetune vqa w --training.batch-size 8",
            "sycoca finetune: there is no --training.batch-size; did you mean '--training.global-batch-size' or"
            " '--training.micro-batch-size'?",
        ),
        ("finetune vqa w --alpha 8", "sycoca finetune: there is no --alpha; did you mean '--lora.alpha'?"),
        ("finetune vqa w --xyzzy 3", "sycoca finetune: there is no --xyzzy; --help shows all flags"),
        ("embed w x -o y", "sycoca embed: there is no -o; --help shows all flags"),
        ("evaluate vqa w --data", "sycoca evaluate vqa: --data needs a value: --data SPEC"),
        (
            "evaluate vqa w --data x --limit many",
            "sycoca evaluate vqa: --limit must be a whole number or None, got 'many'",
        ),
        ("average a b --out c --alpha=half", "sycoca average: --alpha must be a number, got 'half'"),
        (
            "evaluate vqa w --data x --precision fp31",
            "sycoca evaluate vqa: --precision is 'fp31'; did you mean 'fp32'?",
        ),
        ("caption w i --format xml", "sycoca caption: --format is 'xml'; allowed: jsonl, coco"),
        ("caption w i --json=1", "sycoca caption: --json takes no value"),
        ("completion tcsh", "sycoca completion: {bash,zsh,fish} is 'tcsh'; allowed: bash, zsh, fish"),
        ("data stats s --images some", "sycoca data stats: --images must be a whole number or all, got 'some'"),
        ("embed w s extra --out f", "sycoca embed: unexpected argument 'extra'; usage: sycoca embed WEIGHTS SPEC"),
        (
            "explain w i",
            "sycoca explain: --out FILE.png is missing;"
            " usage: sycoca explain WEIGHTS IMAGE [CAPTION] --out FILE.png [--flag VALUE ...]",
        ),
        ("caption w", "sycoca caption: IMAGE... is missing; usage: sycoca caption WEIGHTS IMAGE... [--flag VALUE ...]"),
        (
            "compare --json",
            "sycoca compare: RUN_OR_REPORT... is missing; usage: sycoca compare RUN_OR_REPORT... [--flag VALUE ...]",
        ),
        (
            "export",
            "sycoca export: WEIGHTS and --out FOLDER are missing; usage: sycoca export WEIGHTS --out FOLDER"
            " [--flag VALUE ...]",
        ),
        ("caption w i --batch-size 0", "sycoca caption: batch_size must be at least 1, got 0"),
        ("classify w i --top 0", "sycoca classify: top must be at least 1, got 0"),
        ("classify w i --class-names cat dog", "sycoca classify: unexpected argument 'dog' behind a flag"),
        (
            "compare a.json",
            "sycoca compare: name at least two runs or reports; sycoca evaluate ... --out FILE writes a report",
        ),
        ("pretrain tiny extra", "sycoca pretrain: unexpected argument 'extra'; usage: sycoca pretrain tiny"),
        ("finetune vqq w", "sycoca finetune: there is no task 'vqq'; did you mean 'vqa'?"),
        (
            "finetune vqa",
            "sycoca finetune: WEIGHTS is missing;"
            " usage: sycoca finetune TASK WEIGHTS --data.train SPEC [--flag VALUE ...]",
        ),
    ],
)
def test_wrong_usage_is_one_line(said, line: str, reason: str):
    assert said(*line.split()) == reason


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--json"], True),
        (["--no-json"], False),
        (["--json", "--num_beams", "2"], True),
        (["--json", "--max-skipped-ratio=0.5"], True),
        (["--json", "--out", "None"], True),
    ],
)
def test_every_spelling_of_a_flag_is_understood(words: list[str], value: bool):
    arguments: Any = parse(["caption", "weights", "photo.jpg", *words])
    assert arguments.json == value
    assert arguments.out is None
    assert (arguments.weights, arguments.images) == ("weights", ("photo.jpg",))


def test_checking_a_line_opens_nothing_that_it_names():
    for line in (
        "pretrain --config nowhere.yaml --training.steps 3",
        "pretrain --resume nowhere --training.steps 3",
        "finetune vqa hf:nobody/nothing --data.train nowhere.jsonl --loss cross_entropy",
        "finetune --resume nowhere --label-smoothing 0.1",
        "caption nowhere nothing.jpg",
    ):
        check(line.split())
    with pytest.raises(UsageError, match="there is no --label-smoothing"):
        check(["finetune", "vqa", "weights", "--label-smoothing", "0.1"])
    with pytest.raises(UsageError, match=r"there is no --training\.stps"):
        check(["finetune", "--resume", "nowhere", "--training.stps", "3"])
