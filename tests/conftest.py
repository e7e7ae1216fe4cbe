"""Small models with random weights and batches to feed them, in float64 where equality is meant."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from builders.environment import environment_line
from builders.hub_stand_in import HubStandIn, forget_connections, served
from builders.models import BatchMaker, roughened
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.records import BatchTotals, ImageTextBatch

# No test depends on the terminal in which the suite was started; workers of pytest-xdist inherit its width.
os.environ.pop("COLUMNS", None)

# A shell's background jobs ignore Ctrl-C, and commands that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests compare numbers, so none of them depends on what pays on a machine.
os.environ["SYCOCA_AUTO_PRECISION"] = "fp32"

# On a shared machine a case may take any time.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say first what the suite runs on; pytest's own header is left out with -q."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        reporter.write_line(environment_line())


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Give every test the same random weights, whatever ran before it."""
    with torch.random.fork_rng():
        torch.manual_seed(20260101)
        yield


@pytest.fixture
def config() -> SyCoCaConfig:
    """Return the smallest model that has everything: two layers each, images of 4 x 4 patches."""
    return SyCoCaConfig(
        image_encoder=ImageEncoderConfig(
            image_size=16,
            patch_size=4,
            width=24,
            depth=2,
            num_heads=3,
            pooler=AttentionPoolerConfig(num_queries=5, width=10, num_heads=2),
        ),
        text_encoder=TextEncoderConfig(vocab_size=30, context_length=12, width=16, depth=2, num_heads=2),
        text_decoder=TextDecoderConfig(depth=2, num_heads=2),
        image_decoder=ImageDecoderConfig(width=20, depth=2, num_heads=2),
        embed_dim=10,
    )


@pytest.fixture
def model(config: SyCoCaConfig) -> SyCoCa:
    return roughened(SyCoCa(config).double())


@pytest.fixture
def make_batch() -> BatchMaker:
    """Return a function that draws a batch: bos 1, words from 3 on, eos 2, pad 0."""

    def make(batch: int = 6, longest: int = 9, image_size: int = 16, dtype: torch.dtype = torch.float64):
        lengths = torch.randint(3, longest + 1, (batch,))
        lengths[0] = longest
        positions = torch.arange(longest)
        is_padding = positions >= lengths.unsqueeze(1)
        tokens = torch.randint(3, 30, (batch, longest))
        tokens[:, 0] = 1
        tokens[positions == (lengths - 1).unsqueeze(1)] = 2
        return ImageTextBatch(
            images=torch.randn(batch, 3, image_size, image_size, dtype=dtype),
            tokens=tokens.masked_fill(is_padding, 0),
            is_padding=is_padding,
            draw_keys=torch.arange(batch) + 100,
            totals=BatchTotals(num_samples=batch, num_labels=int((~is_padding).sum()) - batch),
        )

    return make


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """Return a stand-in that answers instead of the Hugging Face Hub; cache and tokens are nobody's own."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    stand_in = HubStandIn()
    disable_progress_bars()
    with served(stand_in):
        # What HF_ENDPOINT and its like are read into when the library is imported.
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.url)
        monkeypatch.setattr("sycoca.weights.hub._announced", set())
        # Versions before 1.0 copy the address of files.
        template = stand_in.url + "/{repo_id}/resolve/{revision}/{filename}"
        for module in (constants, file_download):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"), raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        forget_connections()
        yield stand_in
    enable_progress_bars()
