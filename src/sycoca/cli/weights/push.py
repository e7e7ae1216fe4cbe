"""``sycoca push``: publish a weights folder on the Hugging Face Hub."""

import logging
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Publish a weights folder on the Hugging Face Hub. Damaged weights and those with NaN or infinity are refused."""

    weights: Positional[str]
    """A weights folder; its README.md becomes the model card."""

    repository: Positional[Annotated[str, arg(metavar="OWNER/NAME")]]
    """The repository. It is created if it does not exist; its files of a weights folder are replaced or deleted."""

    private: bool = False
    """Make a new repository private."""

    message: str = "Weights of sycoca"
    """The commit message."""

    def run(self) -> int:
        """Publish, and print the commit's URL on stdout."""
        from sycoca.weights.hub import local_weights
        from sycoca.weights.publishing import push_to_hub

        folder = local_weights(self.weights)
        logger.info(f"checking {folder}, then publishing it as {self.repository}")
        print(push_to_hub(folder, self.repository, private=self.private, commit_message=self.message))
        return 0
