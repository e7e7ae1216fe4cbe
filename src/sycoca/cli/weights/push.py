"""``sycoca push``: publish a weights folder at the Hugging Face Hub."""

import sys
from dataclasses import dataclass

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True, slots=True)
class PushArguments:
    """Publish a weights folder at the Hugging Face Hub, after a look at every number in it."""

    weights: Positional[str]
    """A weights folder; its README.md becomes the model's page."""

    repository: Positional[str]
    """owner/name; the repository is made where there is none, and files of the same names are replaced."""

    private: bool = False
    """Let only its owners read a new repository."""

    message: str = "Weights of sycoca"
    """What the commit says."""


def run(arguments: list[str]) -> int:
    """Publish; the commit's address goes to stdout."""
    import tyro

    options = tyro.cli(PushArguments, prog="sycoca push", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    from sycoca.weights.hub import local_weights
    from sycoca.weights.publishing import push_to_hub

    folder = local_weights(options.weights)
    print(f"checking {folder}, then publishing it as {options.repository}", file=sys.stderr)
    print(push_to_hub(folder, options.repository, private=options.private, commit_message=options.message))
    return 0
