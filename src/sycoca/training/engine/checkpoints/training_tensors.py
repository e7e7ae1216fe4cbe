"""The tensors of a checkpoint: weights, optimizer state and average, by part and name, to save and to restore."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sycoca.training.engine.checkpoints.stored_tensors import StoredTensors
from sycoca.training.engine.checkpoints.tensor_files import Part
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.weights.adapter import trained_tensors
from sycoca.weights.tensors.shapes import first_difference, shapes_of

TrainingTensors = Mapping[Part, Mapping[str, Tensor]]
"""Tensors by part and name. An optimizer's are called ``exp_avg/NAME`` for the parameter of that name."""


def training_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None, *, has_base: bool
) -> TrainingTensors:
    """Return the tensors to save, which share their memory with those that are trained, and are sharded as they are.

    ``has_base``: whether the frozen tensors are those of a base, and left out.
    """
    averages: dict[Part, Mapping[str, Tensor]] = {} if average is None else {"average": average.tensors()}
    own = _model_tensors(model, has_base=has_base)
    return {"model": own, "optimizer": _optimizer_tensors(model, optimizer), **averages}


def restore_model(path: Path, model: nn.Module, *, has_base: bool) -> None:
    """Restore the weights of a checkpoint, all but those of a base; raises ValueError where it is of another model."""
    own = _model_tensors(model, has_base=has_base)
    with StoredTensors.of(path, "model") as stored:
        difference = first_difference(stored.shapes, shapes_of(own))
        if difference is not None:
            raise ValueError(
                f"{path} belongs to another model: {difference.name} has shape {difference.found} there and"
                f" {difference.expected} here; use the config.yaml that the run was started with"
            )
        for name, tensor in own.items():
            stored.read_into(name, tensor)


def restore_optimizer(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Restore the optimizer's state of a checkpoint."""
    index_of = {name: index for index, name in enumerate(_names_by_index(model, optimizer))}
    parameters = dict(model.named_parameters())
    states: dict[int, dict[str, Tensor]] = {}
    with StoredTensors.of(path, "optimizer") as stored:
        for key, shape in stored.shapes.items():
            kind, name = key.split("/", 1)
            # What has the parameter's shape is sharded as it is; steps are scalars.
            parameter = parameters[name].detach()
            value = torch.empty_like(parameter) if shape == parameter.shape else torch.empty(shape)
            stored.read_into(key, value)
            states.setdefault(index_of[name], {})[kind] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def restore_average(path: Path, average: WeightAverage) -> None:
    """Restore the average of the weights; raises ValueError where a checkpoint has none or that of another model."""
    with StoredTensors.of(path, "average") as stored:
        if not stored.shapes:
            raise ValueError(f"{path} has no average of the weights; resume without training.average_decay")
        if stored.shapes.keys() != average.tensors().keys():
            raise ValueError("the saved average of the weights belongs to another model")
        for name, tensor in average.tensors().items():
            stored.read_into(name, tensor)


def _model_tensors(model: nn.Module, *, has_base: bool) -> Mapping[str, Tensor]:
    return trained_tensors(model) if has_base else model.state_dict()


def _names_by_index(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Return the parameters' names in the order of the optimizer's indices."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = _names_by_index(model, optimizer)
    states = optimizer.state_dict()["state"]
    return {f"{kind}/{names[index]}": tensor for index, state in states.items() for kind, tensor in state.items()}
