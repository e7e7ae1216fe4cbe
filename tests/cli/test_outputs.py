"""The rule for outputs, for every command that writes one: told before weights and data are looked at."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from sycoca.cli.completion.table import nodes
from sycoca.cli.main import main
from sycoca.cli.shared.results import print_path
from sycoca.cli.tree import EVALUATE
from sycoca.mapping.plan import FORMAT_VERSION
from sycoca.outputs.output import Output

EVALUATION = {
    "all": ["none", "--tasks", "tasks.yaml"],
    "classification": ["none", "--data", "none"],
    "hard-negatives": ["none", "--data", "none", "--images", "none"],
    "probe": ["none", "--data", "none", "--train", "none"],
    "zero-shot": ["none", "--data", "none"],
}
COMMANDS: dict[str, list[str]] = {
    "caption": ["caption", "none", "none", "--out"],
    "ask": ["ask", "none", "none", "--out"],
    "embed": ["embed", "none", "none", "--out"],
    "explain": ["explain", "none", "none", "a dog", "--out"],
    "index": ["index", "none", "none", "--out"],
    "compare": ["compare", "none", "nothing", "--out"],
    "benchmark": ["benchmark", "--out"],
    "average": ["average", "none", "nothing", "--out"],
    "merge": ["merge", "none", "--out"],
    "export": ["export", "none", "--out"],
    "convert from-open-clip": ["convert", "from-open-clip", "none", "--out"],
    "convert from-hf": ["convert", "from-hf", "none", "--out"],
    "convert to-open-clip": ["convert", "to-open-clip", "none", "--out"],
    "data check": ["data", "check", "none", "--out"],
    "data filter": ["data", "filter", "none", "--weights", "none", "--min-similarity", "0", "--out"],
    "data write-scenes": ["data", "write-scenes"],
    "data write-shards": ["data", "write-shards", "none", "--out"],
    **{f"map {verb}": ["map", verb, "none", "none", "--out"] for verb in ("caption", "embed", "score")},
    "map filter": ["map", "filter", "none", "none", "--min-similarity", "0", "--out"],
    "pretrain": ["pretrain", "tiny", "--out"],
    "quickstart": ["quickstart", "--out"],
    "ablate": ["ablate", "objectives", "--out"],
    "finetune": ["finetune", "vqa", "none", "--data.train", "none", "--out"],
    "score captioning": ["score", "captioning", "--predictions", "none", "--references", "none", "--out"],
    "score vqa": ["score", "vqa", "--predictions", "none", "--references", "none", "--out"],
    "score retrieval": ["score", "retrieval", "--embeddings", "none.npz", "--out"],
    **{
        f"evaluate {task}": ["evaluate", task, *EVALUATION.get(task, ["none", "--data", "none"]), "--out"]
        for task in EVALUATE.commands
    },
}
"""By the command's words a line that ends with the option of its output; weights and data are not there."""

FOLDERS = {
    "average": "model.safetensors",
    "merge": "model.safetensors",
    "export": "config.json",
    "convert from-open-clip": "config.json",
    "convert from-hf": "config.json",
    "convert to-open-clip": "open_clip_config.json",
    "data check": "check.html",
    "data write-scenes": "captions.jsonl",
    "data write-shards": "00000.tar",
    "evaluate all": "summary.json",
    **{name: "notes.txt" for name in COMMANDS if name.startswith("map ")},
    "index": "notes.txt",
    "ablate": "plan.json",
    "pretrain": "config.yaml",
    "finetune": "config.yaml",
}
"""Commands that write a folder, with a file in it that they write."""

NAMES = {"embed": "out.npz", "explain": "out.png", "data filter": "out.jsonl"}
"""The names of files whose suffix matters."""


def outputs(name: str, flags: set[str]) -> Iterator[str]:
    yield from sorted(flags & {"--out"})
    if name == "data write-scenes":
        yield "FOLDER"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tasks.yaml").write_text("retrieval: {data: none}\n")
    return tmp_path


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line of an error about an output, without the command."""
    before = sorted(str(path) for path in Path.cwd().rglob("*"))
    code, said = main(words), capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert sorted(str(path) for path in Path.cwd().rglob("*")) == before
    return said.err.rstrip("\n").partition(": ")[2]


def test_every_command_that_writes_has_the_same_options():
    with_output = {node.name: {flag.name for flag in node.flags} for node in nodes()}
    with_output = {name: flags for name, flags in with_output.items() if any(outputs(name, flags))}
    assert set(COMMANDS) == set(with_output)
    resumed_only = {name for name, flags in with_output.items() if "--overwrite" not in flags}
    assert resumed_only == {"pretrain", "finetune", "quickstart", "ablate"}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "quickstart"])
def test_what_exists_is_told_before_anything_is_read(name: str, capsys: pytest.CaptureFixture[str]):
    out = Path("folder") if name in FOLDERS else Path(NAMES.get(name, "out.json"))
    written = out / FOLDERS[name] if name in FOLDERS else out
    written.parent.mkdir(parents=True, exist_ok=True)
    written.touch()
    line = refusal([*COMMANDS[name], str(out)], capsys)
    if name in ("pretrain", "finetune"):
        command = f"sycoca {name} --resume {out}"
        assert line == f"{out} already holds a run; resume it with: {command}, or choose another folder with --out"
    elif name.startswith("map "):  # which continues what is its own
        assert line == f"{out} holds notes.txt and is no folder of sycoca map; choose another name"
    elif name == "ablate":  # and this, whose plan is damaged here
        assert line == f"{written} is emptied; name the folder of an ablation"
    elif name == "index":  # so does this
        line_end = "is there already and is not a sycoca index (notes.txt is in it); choose another name"
        assert line == f"{out} {line_end}"
    else:
        resume = "--resume continues it, " if name in ("caption", "data write-shards") else ""
        assert line.startswith(str(out))
        assert line.endswith(f" is there already; {resume}--overwrite replaces it, or choose another name")
        assert main([*COMMANDS[name], str(out), "--help"]) == 0
        assert "--overwrite" in capsys.readouterr().out


MORE_INPUTS = {
    "ask": ["vqa:q.json?annotations=IT", "d.jsonl?images=IT"],
    "caption": ["mixture:m.yaml"],
    "score captioning": ["--weights", "--data", "--judgments", "--instances"],
}
"""Inputs that the lines of COMMANDS do not have: options with a file, and SPECs in the place of the data."""

BESIDE_OTHERS = {"data check": "check.json", "evaluate all": "summary.json"} | {
    name: "00000.jsonl" for name in COMMANDS if name.startswith("map ")
}
"""Commands that write files into a folder, and a file that they write."""

WITHOUT_INPUTS = {"benchmark", "data write-scenes", "pretrain", "quickstart", "ablate", "finetune"}
"""Commands that read no files, or replace none."""


def lines_that_read(name: str, read: str, out: str) -> Iterator[list[str]]:
    """Yield the lines of a command in which one input after the other is its output."""
    words = COMMANDS[name]
    for place, word in enumerate(words):
        if word in ("none", "nothing", "none.npz", "tasks.yaml"):
            spec = f"coco:{read}" if name == "data check" else read
            yield [*words[:place], spec, *words[place + 1 :], out, "--overwrite"]


def named_otherwise(name: str, out: str) -> Iterator[list[str]]:
    """Yield lines in which what `MORE_INPUTS` says names the output."""
    words = COMMANDS[name]
    for more in MORE_INPUTS.get(name, []):
        if more.startswith("--"):
            yield [*words[:-1], more, out, words[-1], out, "--overwrite"]
        else:
            yield [*words[:-2], more.replace("IT", out), words[-1], out, "--overwrite"]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_INPUTS])
def test_no_output_replaces_what_it_is_made_from(name: str, capsys: pytest.CaptureFixture[str]):
    out = NAMES.get(name, "out.jsonl")
    if name in FOLDERS:
        out = "folder"
        Path(out).mkdir()
    if name in BESIDE_OTHERS:
        plan = {"format_version": FORMAT_VERSION, "format": "jsonl", "files": ["00000"]}
        Path("folder/plan.json").write_text(json.dumps(plan))
    read = f"{out}/{BESIDE_OTHERS[name]}" if name in BESIDE_OTHERS else out
    if name not in FOLDERS or name in BESIDE_OTHERS:
        Path(read).write_text("retrieval: {data: none}\n")
    Path("m.yaml").write_text(f"sources: [{{data: 'jsonl:{read}', weight: 1}}]")
    lines = [*lines_that_read(name, read, out), *named_otherwise(name, out)]
    assert lines
    for words in lines:
        replaced = out if name.startswith("map ") else read
        assert refusal(words, capsys) == f"{replaced} would replace what it is made from; choose another name", words


def test_links_to_what_an_output_is_made_from_are_seen_through(capsys: pytest.CaptureFixture[str]):
    Path("data.jsonl").touch()
    Path("hard.jsonl").hardlink_to("data.jsonl")
    Path("soft.jsonl").symlink_to("data.jsonl")
    for out in ("hard.jsonl", "soft.jsonl", "./data.jsonl"):
        words = ["caption", "none", "data.jsonl?limit=3", "--out", out, "--overwrite"]
        assert refusal(words, capsys).endswith("would replace what it is made from; choose another name")
    Path("a.skipped.jsonl").touch()
    assert "a.skipped.jsonl would replace" in refusal(["caption", "none", "a.skipped.jsonl", "--out", "a"], capsys)
    words = ["data", "filter", "data.jsonl", "--weights", "none", "--scores", "data.jsonl", "--overwrite"]
    assert refusal(words, capsys).startswith("data.jsonl would replace what it is made from")
    for option, task in (("--predictions", "captioning"), ("--predictions", "vqa")):
        words = ["evaluate", task, "none", "--data", "data.jsonl", option, "data.jsonl", "--overwrite"]
        assert refusal(words, capsys).startswith("data.jsonl would replace what it is made from")


def test_the_files_of_weights_are_not_replaced_by_what_is_made_from_them(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    save_small_weights(place / "weights")
    for words, name in (
        (["convert", "to-open-clip", "weights"], "model.safetensors"),
        (["embed", "weights", "none"], "model.safetensors"),
        (["evaluate", "retrieval", "weights", "--data", "none"], "config.json"),
    ):
        line = refusal([*words, "--out", f"weights/{name}", "--overwrite"], capsys)
        assert line == f"weights/{name} would replace what it is made from; choose another name"


@pytest.mark.parametrize("name", COMMANDS)
def test_what_stands_in_the_way_is_told_before_anything_is_read(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
):
    Path("file").touch()
    below = f"file/{NAMES.get(name, 'out')}"
    assert refusal([*COMMANDS[name], below], capsys).endswith(f"cannot be written: {place / 'file'} is not a folder")
    if name in FOLDERS or name == "quickstart":
        assert refusal([*COMMANDS[name], "file"], capsys) == "file is a file; name a folder"
        return
    folder = Path(NAMES.get(name, "out.json"))
    folder.mkdir()
    assert refusal([*COMMANDS[name], str(folder)], capsys) == f"{folder} is a folder; name a file"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["embed", "none", "none", "--out", "a.txt"], "a.txt must end with .safetensors or .npz"),
        (["explain", "none", "none", "dog", "--out", "a"], "a must end with .png, .pdf, .svg or .json"),
        (["explain", "none", "a.png", "dog", "--out", "a.png"], "a.png would replace what it is made from"),
        (["data", "check", "none", "--out", "a.pdf"], "a.pdf is neither an .html file nor a folder"),
        (["convert", "to-open-clip", "none", "--out", "a.bin"], "a.bin should end with .safetensors or .pt, or"),
        (["caption", "none", "none", "--out", "a", "--resume", "--overwrite"], "a is resumed or overwritten: give"),
        (
            ["evaluate", "vqa", "none", "--data", "none", "--out", "a", "--predictions", "a"],
            "a is being written by this very process; choose another name",
        ),
        (
            [
                *[
                    "data",
                    "filter",
                    "none",
                    "--weights",
                    "none",
                    "--scores",
                    "a.jsonl",
                    "--out",
                    "a.jsonl",
                    "--min-similarity",
                    "0",
                ]
            ],
            "a.jsonl is named for two outputs; choose another name for one",
        ),
    ],
)
def test_wrong_names_are_told_before_anything_is_read(words: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert refusal(words, capsys).startswith(line)


@pytest.mark.parametrize("command", ["check", "stats"])
def test_a_cache_that_is_something_else_is_told_before_anything_is_read(
    command: str, capsys: pytest.CaptureFixture[str]
):
    Path("notes.md").write_text("my notes\n")
    for option in ("--cache", "--index"):
        line = refusal(["data", command, "none", option, "notes.md"], capsys)
        assert line == "notes.md is no image cache of sycoca and is left as it is; name another file with --cache"
    assert Path("notes.md").read_text() == "my notes\n"


def test_predictions_are_an_output_too(capsys: pytest.CaptureFixture[str]):
    Path("old.json").touch()
    for task in ("captioning", "vqa"):
        words = ["evaluate", task, "none", "--data", "none", "--predictions", "old.json"]
        assert refusal(words, capsys).startswith("old.json is there already; --overwrite")
        Path("tasks.yaml").write_text(f"{task}: {{data: none, predictions: old.json}}\n")
        words = ["evaluate", "all", "none", "--tasks", "tasks.yaml", "--out", "reports"]
        assert refusal(words, capsys).startswith("old.json is there already; --overwrite")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("data write-scenes 'my own' --count 3 --size 16", "wrote 3 scenes; use them as 'my own/captions.jsonl'"),
        (
            "data write-shards SCENES --samples-per-shard 2 --num-workers 0 --out 'my shards'",
            "wrote 3 samples in 2 shards; use them as 'shards:my shards/{00000..00001}.tar'",
        ),
        ("caption WEIGHTS SCENES --out 'my captions.jsonl'", "3 captions in 'my captions.jsonl'"),
        ("map caption WEIGHTS SCENES --out my --block-size 2", "3 captions in 2 files in my"),
        ("map embed WEIGHTS SCENES --out 'my own'", "3 samples in 1 file in 'my own'"),
        ("map score WEIGHTS SCENES --out my", "12 captions in 1 file in my"),
        ("map filter WEIGHTS SCENES --min-similarity -1 --out my", "3 images in 1 file in my"),
        ("embed WEIGHTS SCENES --out my.npz", "3 images, 12 texts in my.npz"),
        ("ask WEIGHTS SCENES --open-ended --out answers.json", "25 answers in answers.json"),
        ("evaluate retrieval WEIGHTS --data SCENES --out report.json", "report in report.json"),
        ("evaluate captioning WEIGHTS --data SCENES --no-meteor --predictions made.json", "predictions in made.json"),
        ("evaluate all WEIGHTS --tasks good.yaml --out reports --json", "1 report and summary.json in reports"),
        ("average WEIGHTS WEIGHTS --out mean", "mean"),
        ("explain WEIGHTS scenes/images/000000.png 'a circle' --out deep/figure.png", "deep/figure.png"),
        ("data check scenes --out checked", "page in checked/check.html"),
        (
            "data filter scenes/captions.jsonl --weights WEIGHTS --scores scores.jsonl",
            "scores of 12 captions in scores.jsonl",
        ),
        (
            "data filter scenes/captions.jsonl --weights WEIGHTS --min-similarity -1 --out kept.jsonl --json",
            "3 images with 12 captions in kept.jsonl",
        ),
    ],
)
def test_the_last_line_says_what_was_made_and_where(
    words: str, line: str, place: Path, capsys: pytest.CaptureFixture[str]
):
    weights, scenes = str(save_small_weights(place / "weights")), "scenes:?count=3&size=16"
    Path("good.yaml").write_text(f"retrieval: {{data: '{scenes}'}}\n")
    assert main(["data", "write-scenes", "scenes", "--count", "3", "--size", "16"]) == 0
    capsys.readouterr()
    assert main(shlex.split(words.replace("WEIGHTS", weights).replace("SCENES", f"'{scenes}'"))) == 0
    said = capsys.readouterr()
    assert line in [stream.rstrip("\n").rpartition("\n")[2] for stream in (said.out, said.err)], said
    assert not list(place.rglob("*.lease"))


def test_on_a_terminal_a_path_is_said_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    print_path("weights", Path("my mean"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_path("weights", Path("my mean"))
    assert capsys.readouterr().out == "my mean\nweights in 'my mean'\n"


def test_a_held_output_is_refused(capsys: pytest.CaptureFixture[str]):
    with Output(path=Path("out.json")).claim():
        line = refusal(["score", "vqa", "--predictions", "a", "--references", "b", "--out", "out.json"], capsys)
    assert line == "out.json is being written by this very process; choose another name"
