"""The randomly initialized model that training starts from."""

import torch

from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.randomness import derive_key


def build_model(config: SyCoCaConfig, seed: int) -> SyCoCa:
    """Build the model with random weights that depend on the seed alone."""
    # PyTorch's layers initialize from the global generator: its state is saved and restored.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "model"))
        return SyCoCa(config)
