"""The completion script for fish."""

from collections.abc import Iterator, Sequence

from sycoca.cli.completion.table import Node, takes_file
from sycoca.cli.parsing.table import Argument

_HEAD = """\
# fish completion for sycoca; made by: sycoca completion fish
function __sycoca_command --description 'Words that lead into the tree, then whether others follow'
    set -l command ''
    set -l others ''
    set -l words (commandline -opc)
    for word in $words[2..]
        set -l next (string trim -- "$command $word")
        if contains -- $next @COMMANDS@
            set command $next
        else if not string match -q -- '-*' $word
            set others ' +'
            break
        end
    end
    echo "$command$others"
end
function __sycoca_at
    set -l command (__sycoca_command)
    test "$command" = "$argv[1]"; or test "$command" = "$argv[1] +"
end
function __sycoca_first
    test (__sycoca_command) = "$argv[1]"
end
complete -c sycoca -e
"""


def fish_script(nodes: Sequence[Node]) -> str:
    """Return a script to source in fish, or to save as sycoca.fish in its folder of completions."""
    places = " ".join(_quoted(node.name) for node in nodes if node.path)
    return _HEAD.replace("@COMMANDS@", places) + "\n".join(line for node in nodes for line in _lines(node)) + "\n"


def _lines(node: Node) -> Iterator[str]:
    for word, summary in node.words.items():
        what = f" -d {_quoted(summary)}" if summary else ""
        yield f"complete -c sycoca -f -n {_condition('__sycoca_first', node)} -a {_quoted(word)}{what}"
    for flag in node.flags:
        name = flag.name.removeprefix("--")
        yield f"complete -c sycoca -n {_condition('__sycoca_at', node)} -l {_quoted(name)}{_value(flag)}"


def _value(flag: Argument) -> str:
    """Return what may follow a flag, in fish's options."""
    if flag.num_values == 0:
        return ""
    if flag.choices:
        return f" -x -a {_quoted(' '.join(flag.choices))}"
    return " -r -F" if takes_file(flag) else " -x"


def _condition(function: str, node: Node) -> str:
    return _quoted(f"{function} {_quoted(node.name)}")


def _quoted(text: str) -> str:
    """Return the text in fish's single quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
