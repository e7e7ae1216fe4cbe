"""The completion script for bash."""

import shlex
from collections.abc import Sequence

from sycoca.cli.completion.table import Node, filled

_SCRIPT = """\
# bash completion for sycoca; made by: sycoca completion bash
_sycoca() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
    local command="" next flags="" words="" is_first=1 i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        next="${command:+$command }${COMP_WORDS[i]}"
        case "$next" in
            @COMMANDS@) command="$next" ;;
            *) [[ "${COMP_WORDS[i]}" == -* ]] || { is_first=; break; } ;;
        esac
    done
    case "$command $previous" in
@VALUES@
    esac
    case "$command" in
@NODES@
    esac
    if [[ "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$current"))
    elif [[ -n "$is_first" ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}
# Where nothing of the above fits, bash completes files.
complete -o default -F _sycoca sycoca
"""


def bash_script(nodes: Sequence[Node]) -> str:
    """Return a script to source in bash."""
    return filled(_SCRIPT, nodes, _values(nodes), _nodes(nodes))


def _values(nodes: Sequence[Node]) -> str:
    """Return the cases of flags whose values are known; behind others with a value bash completes files."""
    lines = []
    for node in nodes:
        for flag in node.flags:
            where = shlex.quote(f"{node.name} {flag.name}")
            if flag.choices:
                values = shlex.quote(" ".join(flag.choices))
                lines.append(f'        {where}) COMPREPLY=($(compgen -W {values} -- "$current")); return ;;')
        valued = [flag for flag in node.flags if flag.num_values != 0 and not flag.choices]
        if valued:
            where = "|".join(shlex.quote(f"{node.name} {flag.name}") for flag in valued)
            lines.append(f"        {where}) return ;;")
    return "\n".join(lines)


def _nodes(nodes: Sequence[Node]) -> str:
    lines = []
    for node in nodes:
        flags = shlex.quote(" ".join(flag.name for flag in node.flags))
        words = shlex.quote(" ".join(node.words))
        lines.append(f"        {shlex.quote(node.name)}) flags={flags} words={words} ;;")
    return "\n".join(lines)
