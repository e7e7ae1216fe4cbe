"""Import before open_clip: PyPI's torchvision cannot register its kernels beside the CPU build of torch."""

import torch

if torch.version.cuda is None:
    _OPERATORS = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
