"""The completion script for zsh."""

import shlex
from collections.abc import Sequence

from sycoca.cli.completion.table import Node, filled, takes_file

_SCRIPT = """\
#compdef sycoca
# zsh completion for sycoca; made by: sycoca completion zsh
_sycoca() {
    local command="" next is_first=1 i
    local -a flags choices
    for ((i = 2; i < CURRENT; i++)); do
        next="${command:+$command }${words[i]}"
        case "$next" in
            (@COMMANDS@) command="$next" ;;
            (*) [[ "${words[i]}" == -* ]] || { is_first=; break; } ;;
        esac
    done
    case "$command ${words[CURRENT-1]}" in
@VALUES@
    esac
    case "$command" in
@NODES@
    esac
    if [[ "${words[CURRENT]}" == -* ]]; then
        compadd -- $flags
    elif [[ -n "$is_first" && ${#choices} -gt 0 ]]; then
        compadd -- $choices
    else
        _files
    fi
}
# Sourced, it registers itself; as a file _sycoca in $fpath it is called.
if [[ "${funcstack[1]}" == _sycoca ]]; then
    _sycoca "$@"
else
    compdef _sycoca sycoca
fi
"""


def zsh_script(nodes: Sequence[Node]) -> str:
    """Return a script to source in zsh, or to save as _sycoca in a folder of $fpath."""
    return filled(_SCRIPT, nodes, _values(nodes), _nodes(nodes))


def _values(nodes: Sequence[Node]) -> str:
    lines = []
    for node in nodes:
        for flag in node.flags:
            where = shlex.quote(f"{node.name} {flag.name}")
            if flag.choices:
                lines.append(f"        ({where}) compadd -- {shlex.join(flag.choices)}; return ;;")
            elif takes_file(flag):
                lines.append(f"        ({where}) _files; return ;;")
            elif flag.num_values != 0:
                lines.append(f"        ({where}) return ;;")
    return "\n".join(lines)


def _nodes(nodes: Sequence[Node]) -> str:
    lines = []
    for node in nodes:
        flags, words = shlex.join(flag.name for flag in node.flags), shlex.join(node.words)
        lines.append(f"        ({shlex.quote(node.name)}) flags=({flags}) choices=({words}) ;;")
    return "\n".join(lines)
