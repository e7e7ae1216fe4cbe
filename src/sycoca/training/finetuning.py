"""What all fine-tunings share: they begin with a weights folder instead of nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.training.assembly import build_model
from sycoca.training.finetune_config import FinetuneConfig
from sycoca.training.recipe import Recipe
from sycoca.weights.config import WeightsConfig
from sycoca.weights.folder import LoadedWeights, load_weights

C = TypeVar("C", bound=FinetuneConfig)

_SAID = {
    "text_decoder": "text decoder",
    "image_decoder": "image decoder",
    "num_answers": "head for answers",
    "num_classes": "head for classes",
}
"""What people call the components that a model may lack."""


class Finetuning(Recipe[C]):
    """A recipe whose model comes from a weights folder."""

    @property
    def title(self) -> str:
        """The task."""
        return f"fine-tuning for {self.config.task}"

    @property
    def deed(self) -> str:
        """For what, and from which weights."""
        if self.config.random_weights:
            return f"trained for {self.config.task} from random weights, with the sizes of `{self.config.weights}`"
        return f"fine-tuned for {self.config.task} from `{self.config.weights}`"

    def loaded(self) -> LoadedWeights:
        """Open the weights folder; raises ValueError where it is no sound one."""
        return load_weights(self.config.weights)

    def weights_config(self, loaded: LoadedWeights, **changes: Any) -> WeightsConfig:
        """Return what the fine-tuned weights will say of themselves: ``changes`` are fields that become others."""
        transforms = loaded.config.transforms if self.config.transforms is None else self.config.transforms
        return replace(loaded.config, **{"transforms": transforms, **changes})

    def started_model(self, loaded: LoadedWeights, config: SyCoCaConfig) -> SyCoCa:
        """Return a model of that config: what it shares with the loaded one has its tensors, the rest is drawn."""
        model = build_model(config, self.config.seed)
        if self.config.random_weights:
            return model
        own = model.state_dict()
        shared = {name: tensor for name, tensor in loaded.model.state_dict().items() if name in own}
        model.load_state_dict(own | shared)
        return model

    def left_behind(self, config: SyCoCaConfig) -> str:
        """Return a line about the components that the fine-tuned model no longer has; empty where it has all."""
        old = self.loaded().config.model
        gone = [said for name, said in _SAID.items() if _is_there(old, name) and not _is_there(config, name)]
        return f"left behind, since this training would spoil it: {', '.join(gone)}" if gone else ""


def without_heads(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes of a model's config that also take its heads off: training for something else spoils them."""
    return {"num_answers": None, "num_classes": None, **changes}


def _is_there(config: SyCoCaConfig, component: str) -> bool:
    return getattr(config, component) is not None
