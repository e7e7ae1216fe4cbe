"""Each completion script in its own shell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sycoca.cli.completion.table import nodes
from sycoca.cli.main import main
from sycoca.cli.tree import NAMES, commands
from sycoca.presets.finetune import PRESETS as TASKS
from sycoca.presets.pretrain import PRESETS

BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_sycoca
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

ZSH = """
compdef() {{ : }}
compadd() {{ shift; for word in "$@"; do [[ "$word" == "${{words[CURRENT]}}"* ]] && print -r -- "$word"; done }}
_files() {{ print FILES }}
source {script}
words=({words}); CURRENT=${{#words}}
_sycoca
true
"""

FISH = """
source {script}
complete -C {line}
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        with pytest.MonkeyPatch.context() as patch, (folder / shell).open("w", encoding="utf-8") as file:
            patch.setattr("sys.stdout", file)
            assert main(["completion", shell]) == 0
    return folder


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(request: pytest.FixtureRequest, scripts: Path):
    """Return a function from a line to its completions, in a shell."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")

    def run(line: str) -> list[str]:
        words = [f"'{word}'" for word in line.split(" ")]
        quoted = {"script": scripts / shell, "words": " ".join(words), "line": f"'{line}'"}
        code = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(**quoted)
        command = [shell, "--no-config" if shell == "fish" else "-f" if shell == "zsh" else "--norc", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=scripts, timeout=60)
        assert done.stderr == ""
        return [text.split("\t")[0] for text in done.stdout.splitlines() if text]

    return run


def test_every_place_of_the_tree_can_be_completed():
    names = [node.name for node in nodes()]
    assert names[0] == ""
    assert {" ".join(path) for path, _ in commands()} < set(names)
    assert set(NAMES) < set(names)


def test_completes_commands(complete):
    assert sorted(complete("sycoca ")) == sorted(NAMES)
    assert complete("sycoca eval") == ["evaluate"]
    assert complete("sycoca evaluate zero") == ["zero-shot"]
    assert sorted(complete("sycoca data ")) == ["check", "filter", "stats", "write-scenes", "write-shards"]


def test_completes_flags(complete):
    assert complete("sycoca evaluate vqa weights --pred") == ["--predictions"]
    assert complete("sycoca pretrain tiny --training.st") == ["--training.steps"]
    assert complete("sycoca finetune vqa weights --num-ans") == ["--num-answers"]
    assert complete("sycoca --ver") in (["--verbose", "--version"], ["--version", "--verbose"])
    assert complete("sycoca caption weights photo.jpg --deb") == ["--debug"]
    assert complete("sycoca score vqa --re-rank") == []


def test_completes_choices(complete):
    assert sorted(complete("sycoca evaluate vqa weights --precision ")) == ["auto", "bf16", "fp16", "fp32", "int8"]
    assert sorted(complete("sycoca pretrain ")) == sorted(PRESETS)
    assert sorted(complete("sycoca finetune ")) == sorted(TASKS)
    assert sorted(complete("sycoca --verbose completion ")) == ["bash", "fish", "zsh"]
    assert complete("sycoca pretrain tiny --masking.strategy att") == ["attentive"]


def test_leaves_files_to_the_shell(complete, scripts: Path):
    (scripts / "photo.jpg").touch()
    # bash completes files itself where the function finds nothing.
    assert complete("sycoca caption pho") in (["photo.jpg"], ["FILES"], [])
    assert complete("sycoca caption weights --out pho") in (["photo.jpg"], ["FILES"], [])


def test_help_says_how_to_install_it(capsys: pytest.CaptureFixture[str]):
    assert main(["completion", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "~/.bashrc: source <(sycoca completion bash)" in text
    assert "~/.zshrc, behind compinit: source <(sycoca completion zsh)" in text
    assert "sycoca completion fish > ~/.config/fish/completions/sycoca.fish" in text
