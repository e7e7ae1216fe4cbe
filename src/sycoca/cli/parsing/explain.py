"""Usage errors as one line: tyro detects them, this module explains them."""

from collections.abc import Sequence

from sycoca.cli.help_text import COMMON_OPTIONS
from sycoca.cli.parsing.table import Argument
from sycoca.plain_data import closest, did_you_mean

_KINDS = {int: "a whole number", float: "a number"}

_MOST_MEANT = 3
"""Flags that are named beside an unknown one."""


def usage(arguments: Sequence[Argument], prog: str) -> str:
    """Return the usage line of a command: positional arguments, required flags, and that there are others."""
    words = [argument.invocation for argument in arguments if argument.is_positional]
    words += [argument.invocation for argument in arguments if not argument.is_positional and argument.is_required]
    has_others = any(not argument.is_positional and not argument.is_required for argument in arguments)
    return " ".join([prog, *words, *(["[--flag VALUE ...]"] if has_others else [])])


def why_refused(arguments: Sequence[Argument], words: Sequence[str], prog: str) -> str | None:
    """Return the usage error in the words; None where none is found."""
    flags = {argument.name: argument for argument in arguments if not argument.is_positional}
    positional = [argument for argument in arguments if argument.is_positional]
    given, seen, rest = [], set(), list(words)
    behind_flag: list[str] = []
    while rest:
        word = rest.pop(0)
        if not _is_flag(word):
            behind_flag += [word] if given and seen else []
            given.append(word)
            continue
        name, equals, attached = word.partition("=")
        name = f"--{name.removeprefix('--').replace('_', '-')}"
        if name not in flags:
            if _opposite(name) in flags and not equals:
                continue
            return _unknown(word.partition("=")[0], list(flags))
        seen.add(name)
        values = [attached] if equals else _values(rest, flags[name])
        if problem := _problem_of_values(flags[name], values):
            return problem
        if not equals:
            del rest[: len(values)]
    problem = _problem_of_positions(positional, given, prog) or _missing(arguments, given, seen, prog)
    return problem or (f"unexpected argument {behind_flag[0]!r} behind a flag" if behind_flag else None)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _opposite(name: str) -> str:
    """Return the flag that a switch's other spelling stands for: --no-json beside --json, and back."""
    before, dot, last = name.removeprefix("--").rpartition(".")
    return f"--{before}{dot}{last.removeprefix('no-') if last.startswith('no-') else f'no-{last}'}"


def _unknown(flag: str, known: list[str]) -> str:
    meant = _ending_alike(flag, known) or [closest(flag, [*known, *COMMON_OPTIONS])]
    # A list of a hundred flags would not help.
    shown = " or ".join(repr(one) for one in meant if one is not None)
    return f"there is no {flag}; {f'did you mean {shown}?' if shown else '--help shows all flags'}"


def _ending_alike(flag: str, known: list[str]) -> list[str]:
    """Return the flags whose names end with the given one: for --batch-size those of both batch sizes."""
    last = flag.removeprefix("--").rpartition(".")[2]
    found = [one for one in known if one.removeprefix("--").endswith((f"-{last}", f".{last}"))]
    return found if len(found) <= _MOST_MEANT else []


def _values(rest: list[str], argument: Argument) -> list[str]:
    """Return the words that belong to a flag."""
    most = len(rest) if argument.num_values is None else argument.num_values
    end = next((index for index, word in enumerate(rest[:most]) if _is_flag(word)), min(most, len(rest)))
    return rest[:end]


def _problem_of_values(argument: Argument, values: list[str]) -> str | None:
    wanted = argument.num_values
    if wanted == 0:
        return f"{argument.name} takes no value" if values else None
    if not values or (wanted is not None and len(values) < wanted and values != ["None"]):
        number = "a value" if wanted in (None, 1) else f"{wanted} values"
        return f"{argument.name} needs {number}: {argument.invocation}"
    return next((_problem_of(argument, value) for value in values if not argument.accepts(value)), None)


def _problem_of(argument: Argument, value: str) -> str:
    name = argument.placeholder if argument.is_positional else argument.name
    if not argument.kinds:
        return f"{name} is {value!r}{did_you_mean(value, argument.choices)}"
    kinds = [_KINDS[kind] for kind in argument.kinds if kind in _KINDS]
    return f"{name} must be {' or '.join([*kinds, *argument.choices])}, got {value!r}"


def _problem_of_positions(positional: Sequence[Argument], given: list[str], prog: str) -> str | None:
    for argument, word in zip(positional, given, strict=False):
        if not argument.accepts(word):
            return _problem_of(argument, word)
    if len(given) > len(positional) and all(argument.num_values is not None for argument in positional):
        extra = " ".join(given[len(positional) :])
        return f"unexpected argument {extra!r}; usage: {usage(positional, prog)}"
    return None


def _missing(arguments: Sequence[Argument], given: list[str], seen: set[str], prog: str) -> str | None:
    positional = [argument for argument in arguments if argument.is_positional and argument.is_required]
    missing = [argument.invocation for argument in positional[len(given) :]]
    missing += [
        argument.invocation
        for argument in arguments
        if not argument.is_positional and argument.is_required and argument.name not in seen
    ]
    if not missing:
        return None
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; usage: {usage(arguments, prog)}"
