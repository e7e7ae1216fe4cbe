"""METEOR 1.5 by the Java program in pycocoevalcap (Denkowski and Lavie, 2014)."""

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_ARGUMENTS = ("-jar", "-Xmx2G", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm")

SPICE_NOT_COMPUTED = (
    "not computed: not built in, since its parser's models (stanford-corenlp-3.6.0-models.jar) come with no package "
    "and nothing is downloaded"
)
"""Why SPICE is not computed."""


def why_no_meteor() -> str | None:
    """Return why METEOR cannot be computed on this machine; None where it can."""
    if _folder() is None:
        return "not computed: pycocoevalcap is not installed (pip install 'sycoca[captions]')"
    if shutil.which("java") is None:
        return "not computed: Java is not installed"
    return None


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return METEOR of a whole set of tokenized captions; it is not a mean over images.

    Raises OSError where the Java program fails.
    """
    with subprocess.Popen(
        ["java", *_ARGUMENTS],
        cwd=_folder(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as program:
        statistics = [
            _answer(program, f"SCORE ||| {' ||| '.join(own)} ||| {_plain(candidate)}")
            for candidate, own in zip(candidates, references, strict=True)
        ]
        # One line for each caption, then one for the set.
        answers = [_answer(program, " ||| ".join(["EVAL", *statistics]))]
        answers += [_read(program) for _ in candidates]
        assert program.stdin is not None
        program.stdin.close()
    return float(answers[-1])


def _answer(program: "subprocess.Popen[str]", question: str) -> str:
    assert program.stdin is not None
    try:
        program.stdin.write(question + "\n")
        program.stdin.flush()
    except BrokenPipeError as error:
        raise OSError(_FAILED) from error
    return _read(program)


def _read(program: "subprocess.Popen[str]") -> str:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise OSError(_FAILED)
    return line.strip()


_FAILED = (
    f"METEOR's program ended unexpectedly; try to run java {' '.join(_ARGUMENTS)} in pycocoevalcap's folder meteor"
)


def _plain(candidate: str) -> str:
    # As in pycocoevalcap: bars are the separator.
    return candidate.replace("|||", "").replace("  ", " ")


def _folder() -> Path | None:
    package = find_spec("pycocoevalcap")
    places = [] if package is None else package.submodule_search_locations or []
    folders = [Path(place) / "meteor" for place in places]
    return next((folder for folder in folders if (folder / "meteor-1.5.jar").exists()), None)
