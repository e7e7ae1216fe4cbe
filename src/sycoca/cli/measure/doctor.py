"""``sycoca doctor``: say what works on this machine and what is missing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.cli.shared.results import counted

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.experiments.doctor.finding import Diagnosis, State

_WORDS: "dict[State, tuple[str, str]]" = {
    "good": ("ok", "green"),
    "note": ("note", "yellow"),
    "absent": ("none", "cyan"),
    "failed": ("FAIL", "bold red"),
}
"""How states are called, with their colors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Look at versions, cores, memory, devices, folders and optional parts, and test what is installed.

    Measures whether fp32 or bf16 is faster here. The self-test trains a tiny model for a few steps, saves it, loads it,
    and compares both. Exit code 1 if something that should work does not, 0 otherwise.
    """

    device: str = "auto"
    """Device that is tested: cpu, cuda, cuda:1, mps, or auto: an accelerator if there is one, else the CPU."""

    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Examine, and print what was found; exit code 1 if something failed."""
        from sycoca.experiments.doctor.doctor import examine

        diagnosis = examine(self.device)
        if self.json:
            print(diagnosis.to_json())
        else:
            _print(diagnosis)
        return 1 if diagnosis.failures else 0


def _print(diagnosis: "Diagnosis") -> None:
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for section in diagnosis.sections:
        console.print(f"[bold]{section.title}[/bold]")
        width = max(len(finding.name) for finding in section.findings)
        for finding in section.findings:
            _print_line(console, finding.state, f"{finding.name:{width}}  {finding.value}")
            if finding.remedy is not None:
                _print_line(console, None, f"-> {finding.remedy}")
    failures = diagnosis.failures
    text = f"{counted(len(failures), 'failure')}: {', '.join(one.name for one in failures)}" if failures else "all well"
    console.print(text, style="bold red" if failures else "bold green")


def _print_line(console: "Console", state: "State | None", text: str) -> None:
    """Print a line behind the word of its state, later lines of a narrow terminal below its text."""
    from sycoca.terminal import line_width, plain, wrapped

    word, color = ("", "") if state is None else _WORDS[state]
    columns = line_width(console.file)
    lines = wrapped(text, None if columns is None else columns - 7).replace("\n", "\n" + 7 * " ")
    shown = plain(f"  {word:4} {lines}")
    shown.stylize(color, 2, 2 + len(word))
    console.print(shown)
