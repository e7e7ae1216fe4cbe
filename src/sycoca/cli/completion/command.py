"""``sycoca completion``: print a completion script."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Print a completion script for commands, flags, their choices and files.

    bash: add this line to ~/.bashrc: source <(sycoca completion bash)

    zsh: add this line to ~/.zshrc, behind compinit: source <(sycoca completion zsh)

    fish: run once: sycoca completion fish > ~/.config/fish/completions/sycoca.fish
    """

    shell: Positional[Annotated[Literal["bash", "zsh", "fish"], arg(metavar="{bash,zsh,fish}")]]
    """The shell that the script is for."""

    def run(self) -> int:
        """Print the script."""
        from sycoca.cli.completion.bash import bash_script
        from sycoca.cli.completion.fish import fish_script
        from sycoca.cli.completion.table import nodes
        from sycoca.cli.completion.zsh import zsh_script

        scripts = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
        print(scripts[self.shell](nodes()), end="")
        return 0
