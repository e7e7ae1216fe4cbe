"""A quickstart of few steps on few scenes: everything runs, nothing is learned. As a program, one to interrupt."""

import sys
from dataclasses import replace

import pytest

from sycoca.experiments.quickstart import quickstart as module
from sycoca.experiments.quickstart import tasks
from sycoca.presets.pretrain import tiny
from sycoca.training.config import DataConfig

FEW_SCENES = "scenes:?level=easy&count=200&seed=0"


def make_quickstart_small(patch: pytest.MonkeyPatch) -> None:
    """Let quickstarts train and evaluate on few scenes, and save a checkpoint after every second step."""
    small = tiny()
    training = replace(small.training, log_every=1, save_every=2)
    patch.setattr(module, "TEST_SCENES", "scenes:?level=easy&count=24&split=test")
    patch.setattr(tasks, "TRAIN_SCENES", FEW_SCENES)
    data = DataConfig(train=FEW_SCENES, cache_images=True)
    patch.setattr(module, "tiny", lambda: replace(small, data=data, training=training))


if __name__ == "__main__":
    from sycoca.cli.main import main

    make_quickstart_small(pytest.MonkeyPatch())
    sys.exit(main(sys.argv[1:]))
