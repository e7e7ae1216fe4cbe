"""Every command line of the documents parses, and every row of README's ablation table builds a model."""

import itertools
import re
import shlex
from collections.abc import Iterator

import pytest

from builders.documents import ROOT, Document, present_documents
from sycoca.cli.command_line import check
from sycoca.cli.shared.usage import HelpRequested, UsageError
from sycoca.cli.train.training_runs import with_flags
from sycoca.model.sycoca import SyCoCa
from sycoca.presets.pretrain import pretrain_preset

STAND_INS = {"PRESET": "tiny", "COMMAND": "caption", "A": "0.5", "N": "1", "S": "1", "B": "8", "R": "0.001"}
"""What documents write for a word that the reader chooses, where any word will not do."""

END_OF_COMMAND = re.compile(r"\s(?:\||>|&&|&|;)(?:\s|$)")


def command_lines(document: Document) -> list[tuple[str, bool]]:
    """Return the command lines, and whether each is complete: those in text may leave arguments out."""
    shell = [block for language, block in document.blocks() if language in ("sh", "bash", "shell", "console")]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    return [*((line, True) for line in lines), *((code, False) for code in document.inline_code())]


def sycoca_commands(line: str) -> Iterator[list[str]]:
    """Yield the words behind ``sycoca`` in a line, once for every choice in {a,b}."""
    found = re.match(r"(?:\$ )?(?:\w+=\S+ )*(?:torchrun (?:\S+ )*-m )?sycoca(?: (.*))?$", line.strip())
    if found is None:
        return
    text = END_OF_COMMAND.split(found.group(1) or "")[0]
    words = [word.strip("[]") for word in shlex.split(text, comments=True)]
    yield from map(list, itertools.product(*map(choices, words)))


def choices(word: str) -> list[str]:
    """Return what a word of a document may stand for."""
    if re.fullmatch(r"\{[\w,.…-]+\}", word):
        return [one for one in word[1:-1].split(",") if one not in ("...", "…")]
    return [STAND_INS.get(word, word)]


def refusal(words: list[str], *, is_complete: bool) -> str | None:
    """Return why the words do not parse; None where they do, or lack only what text may leave out."""
    has_ellipsis = any(word in ("...", "…") for word in words)
    words = [word for word in words if word not in ("...", "…")]
    if words[:1] in (["evaluate"], ["score"], ["finetune"]) and words[1:2] == ["TASK"]:
        words[1] = "vqa"
    try:
        check(words)
    except HelpRequested:
        return None
    except UsageError as error:
        may_lack = has_ellipsis or not is_complete
        return None if may_lack and re.search(r"(?:is|are) missing|name a preset first", str(error)) else str(error)
    return None


@pytest.mark.parametrize("document", present_documents(), ids=lambda document: document.name)
def test_every_command_line_parses(document: Document):
    refused = {}
    for line, is_complete in command_lines(document):
        for words in sycoca_commands(line):
            if (reason := refusal(words, is_complete=is_complete)) is not None:
                refused[line] = reason
    assert refused == {}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_command_lines_in_comments_of_examples_parse(path):
    lines = re.findall(r"^# (sycoca .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        assert [refusal(words, is_complete=True) for words in sycoca_commands(line)] == [None]


def test_readme_has_command_lines_that_would_be_refused_when_mistyped():
    lines = [line for line, _ in command_lines(Document("README.md")) if list(sycoca_commands(line))]
    assert len(lines) > 10
    assert refusal(["pretrain", "tiny", "--data.trian", "x"], is_complete=False) is not None
    assert refusal(["caption", "weights", "photo.jpg"], is_complete=True) is None
    assert refusal(["evaluate", "vqa"], is_complete=True) is not None
    assert refusal(["evaluate", "vqa"], is_complete=False) is None
    assert list(sycoca_commands("torchrun --nproc-per-node 8 -m sycoca pretrain tiny # note")) == [["pretrain", "tiny"]]
    assert list(sycoca_commands("sycoca score {vqa,captioning,...}")) == [["score", "vqa"], ["score", "captioning"]]


def ablation() -> dict[str, list[str]]:
    """Return the flags of every row of README's ablation table."""
    table = Document("docs/evaluation.md").text.split("| | flags |\n", 1)[1].split("\n\n", 1)[0]
    rows = re.findall(r"^\| ([^|]*[^ |]) \| `([^`]+)` \|$", table, re.MULTILINE)
    return {name: shlex.split(flags) for name, flags in rows}


def test_the_ablation_has_different_rows():
    configs = [with_flags(pretrain_preset("tiny"), flags, "sycoca pretrain tiny") for flags in ablation().values()]
    everything = [pretrain_preset("tiny"), *configs]
    assert len(configs) >= 6
    assert all(one != other for one, other in itertools.combinations(everything, 2))


@pytest.mark.parametrize("name", list(ablation()))
def test_every_row_of_the_ablation_builds_a_model(name: str):
    config = with_flags(pretrain_preset("tiny"), ablation()[name], "sycoca pretrain tiny")
    assert sum(parameter.numel() for parameter in SyCoCa(config.model).parameters()) > 0
