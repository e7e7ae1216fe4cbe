"""Files of lines that a command was stopped in the middle of."""

from pathlib import Path


def whole_lines(path: Path) -> list[str]:
    """Return the lines of an unfinished file, and take off a last one that a killed run has cut.

    No lines where there is no such file yet. Raises ValueError where it cannot be read as text.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    lines = text.split("\n")[:-1]
    keep_lines(path, lines)
    return lines


def keep_lines(path: Path, lines: list[str]) -> None:
    """Leave these lines in the file, and nothing else."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
