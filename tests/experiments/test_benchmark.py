import json
from dataclasses import replace

import pytest
import torch

from sycoca.experiments.benchmark import benchmark as module
from sycoca.experiments.benchmark import machine as benchmark_machine
from sycoca.experiments.benchmark import rows as benchmark_rows
from sycoca.experiments.benchmark import timing as benchmark_timing
from sycoca.experiments.benchmark.benchmark import benchmark
from sycoca.experiments.benchmark.machine import use_threads
from sycoca.experiments.benchmark.result import BenchmarkResult
from sycoca.experiments.benchmark.rows import BenchmarkParts, LibraryRows
from sycoca.experiments.benchmark.settings import ROWS, BenchmarkSettings
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.config import TokenizerConfig
from sycoca.presets.pretrain import PRESETS, tiny
from sycoca.training.recipes.pretraining.config import PretrainConfig

BATCH, IMAGES, EMBED, CONTEXT, VOCAB = 3, 20, 8, 12, 3000

MODEL_ROWS = [name for group in ("training", "inference") for name in ROWS[group]]
ALL_ROWS = ["matrix_peak", "copy_rate", *MODEL_ROWS, *ROWS["data"]]


def smallest() -> PretrainConfig:
    """Return a preset that trains in seconds, whose vocabulary is far larger than that of the scenes."""
    return replace(
        tiny(),
        preset="smallest",
        model=SyCoCaConfig(
            image_encoder=ImageEncoderConfig(image_size=16, patch_size=4, width=16, depth=2, num_heads=2),
            text_encoder=TextEncoderConfig(vocab_size=VOCAB, context_length=CONTEXT, width=16, depth=2, num_heads=2),
            text_decoder=TextDecoderConfig(depth=2, num_heads=2),
            image_decoder=ImageDecoderConfig(width=16, depth=2, num_heads=2),
            embed_dim=EMBED,
        ),
        tokenizer=TokenizerConfig(vocab_size=VOCAB),
    )


@pytest.fixture(scope="module", autouse=True)
def _in_small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "smallest", smallest)
        patch.setattr(benchmark_machine, "MATRIX_SIDES", {"cpu": (32, 64)})
        patch.setattr(benchmark_machine, "COPIED_BYTES", 2**20)
        patch.setattr(benchmark_timing, "SHORTEST_RUN_SECONDS", 0.0)
        yield


def settings(**changes) -> BenchmarkSettings:
    sizes = {"preset": "smallest", "batch_size": BATCH, "retrieval_images": IMAGES, "runs": 2, "device": "cpu"}
    return BenchmarkSettings(**{**sizes, **changes})


def measured(**changes) -> BenchmarkResult:
    return benchmark(settings(**changes))


@pytest.fixture(scope="module")
def result() -> BenchmarkResult:
    return measured()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[BenchmarkParts]:
    """The parts of all benchmarks in a test, in order."""
    seen: list[BenchmarkParts] = []

    def remember(parts: BenchmarkParts) -> LibraryRows:
        seen.append(parts)
        return LibraryRows(parts)

    monkeypatch.setattr(module, "LibraryRows", remember)
    return seen


def test_every_row_is_measured(result: BenchmarkResult):
    assert list(result.rows) == ALL_ROWS
    for name, row in result.rows.items():
        assert 0 < row.seconds_min <= row.seconds <= row.seconds_max, name
        assert row.items > 0
        assert row.items_per_second == pytest.approx(row.items / row.seconds)


def test_a_batch_has_the_captions_and_the_steps_of_the_presets_training(
    parts: list[BenchmarkParts], monkeypatch: pytest.MonkeyPatch
):
    plus = replace(smallest(), objectives=replace(smallest().objectives, captions_per_image=3, masked_image_every=4))
    monkeypatch.setitem(PRESETS, "plus", lambda: plus)
    result = measured(preset="plus", rows=("train_itc",))
    assert parts[0].batch.more_captions is not None
    assert parts[0].batch.more_captions.is_caption.sum() == 2 * BATCH
    assert result.settings["captions_per_image"] == 3
    assert result.settings["masked_image_share"] == pytest.approx(0.25, abs=1e-3)
    assert measured(rows=("train_itc",)).settings["masked_image_share"] == 1.0
    assert parts[1].batch.more_captions is None


def test_items_and_units(result: BenchmarkResult):
    counted = {name: (row.items, row.unit) for name, row in result.rows.items()}
    assert counted == {
        "matrix_peak": (1, "products"),
        "copy_rate": (2 * 2**20 / 1e9, "GB"),
        **{name: (BATCH, "pairs") for name in ROWS["training"]},
        **{name: (BATCH, "captions") for name in ("caption_greedy", "caption_beam")},
        "embed_images": (BATCH, "images"),
        "embed_texts": (BATCH, "texts"),
        "load_images": (BATCH, "images"),
        "retrieval_scoring": (IMAGES + 5 * IMAGES, "queries"),
    }


def test_operations_are_those_counted_by_hand(result: BenchmarkResult):
    # Every image with every text, in both directions; a multiply-add counts 2.
    assert result.rows["retrieval_scoring"].gflop == pytest.approx(2 * 2 * IMAGES * 5 * IMAGES * EMBED / 1e9)
    assert result.rows["matrix_peak"].gflop in (2 * 32**3 / 1e9, 2 * 64**3 / 1e9)
    assert result.rows["copy_rate"].gflop is None
    assert result.rows["load_images"].gflop is None


def test_operations_of_images_by_hand(result: BenchmarkResult):
    patches, width, pixels, tokens = 16, 16, 48, 17  # [CLS] is a token, too
    linear = 2 * (patches * pixels * width + 2 * tokens * 12 * width**2 + width * EMBED)
    attention = 2 * 4 * tokens**2 * width
    assert result.rows["embed_images"].gflop == pytest.approx(BATCH * (linear + attention) / 1e9)


def test_more_objectives_and_beams_take_more_operations(result: BenchmarkResult):
    gflop = {name: row.gflop or 0.0 for name, row in result.rows.items()}
    assert gflop["train_itc"] > 2.5 * (gflop["embed_images"] + gflop["embed_texts"])
    assert gflop["train_itc"] < gflop["train_itc_ic"] < gflop["train_all"]
    assert 3 * gflop["caption_greedy"] < gflop["caption_beam"] < 6 * gflop["caption_greedy"]


def test_the_peak_is_that_of_the_fastest_product(result: BenchmarkResult):
    product = result.rows["matrix_peak"]
    assert product.gflop is not None
    assert result.peaks == {"fp32": pytest.approx(product.gflop / product.seconds_min)}
    assert result.share_of_peak("matrix_peak") == pytest.approx(product.seconds_min / product.seconds)


def test_share_of_peak_is_the_rate_over_the_peak(result: BenchmarkResult):
    for name, row in result.rows.items():
        share = result.share_of_peak(name)
        if name in ("copy_rate", "load_images"):
            assert share is None
        else:
            assert share == pytest.approx(row.gflop / row.seconds / result.peaks["fp32"])


def test_json_round_trip(result: BenchmarkResult):
    plain = json.loads(result.to_json())
    assert list(plain) == ["task", "machine", "settings", "rows", "mean_step_seconds", "memory"]
    assert plain["task"] == "benchmark"
    names = {"processor", "processors", "threads", "device", "torch", "python", "peak_gflop_per_second"}
    assert names <= plain["machine"].keys()
    row = plain["rows"]["embed_images"]
    assert row["gflop_per_second"] == pytest.approx(row["gflop"] / row["seconds"])
    assert row["share_of_peak"] == pytest.approx(
        row["gflop_per_second"] / plain["machine"]["peak_gflop_per_second"]["fp32"]
    )
    assert plain["rows"]["load_images"]["share_of_peak"] is None
    assert BenchmarkResult.from_json(result.to_json()) == result
    with pytest.raises(ValueError, match="this is not the result of a benchmark"):
        BenchmarkResult.from_json('{"task": "retrieval"}')


def test_settings_say_what_was_measured(result: BenchmarkResult, parts: list[BenchmarkParts]):
    measured(rows=("embed_texts",), runs=1)
    assert result.settings == {
        "preset": "smallest",
        "parameters": parts[0].model.num_parameters,
        "image_size": 16,
        "batch_size": BATCH,
        "captions_per_image": 1,
        "masked_image_share": 1.0,
        "caption_tokens": CONTEXT - 2,
        "num_beams": 6,
        "retrieval_images": IMAGES,
        "retrieval_texts": 5 * IMAGES,
        "precision": "fp32",
        "compile": False,
        "runs": 2,
    }


def test_rows_keep_their_order_and_the_peak_is_added():
    assert list(measured(rows=("load_images", "embed_texts"), runs=1).rows) == [
        "matrix_peak",
        "embed_texts",
        "load_images",
    ]


def test_the_model_has_the_vocabulary_of_the_preset(parts: list[BenchmarkParts]):
    measured(rows=("embed_texts",), runs=1)
    assert parts[0].tokenizer.vocab_size < VOCAB
    assert parts[0].model.config.text_encoder.vocab_size == VOCAB
    assert parts[0].batch.images.shape == (BATCH, 3, 16, 16)


def test_updates_compute_gradients_and_leave_the_weights(parts: list[BenchmarkParts], monkeypatch: pytest.MonkeyPatch):
    clipped = []
    monkeypatch.setattr(
        "sycoca.training.engine.update.clip_gradients", lambda *call: clipped.append(call) or torch.ones(())
    )
    rows = tuple(ROWS["training"])
    with torch.random.fork_rng():
        before = torch.random.get_rng_state()
        measured(rows=rows, runs=1)
        assert torch.equal(torch.random.get_rng_state(), before)  # the global generator is not used
    fresh = module.build_model(smallest().model, seed=0).state_dict()
    for name, weight in parts[0].model.state_dict().items():
        torch.testing.assert_close(weight, fresh[name], rtol=0, atol=0)
    # For the memory two updates; of every row one to warm up, one to count, one to see how long it takes, one run.
    assert len(clipped) == 2 + 4 * len(rows)


def test_components_of_objectives_that_are_off_get_no_gradient(parts: list[BenchmarkParts]):
    measured(rows=("embed_texts",), runs=1)
    library, model = LibraryRows(parts[0]), parts[0].model
    decoders = {"train_itc": [], "train_itc_ic": ["text_decoder"], "train_all": ["text_decoder", "image_decoder"]}
    for name, trained in decoders.items():
        library.row(name).call()
        with_gradient = {key.split(".")[0] for key, weight in model.named_parameters() if weight.grad is not None}
        assert with_gradient == {"image_encoder", "text_encoder", "log_logit_scale", *trained}


def test_captions_have_all_their_tokens(monkeypatch: pytest.MonkeyPatch):
    generate, lengths = benchmark_rows.generate_captions, []

    def remember(model, memory, special, config):
        captions = generate(model, memory, special, config)
        lengths.append((config.num_beams, [len(caption.tokens) for caption in captions]))
        assert config.min_tokens == config.max_tokens == CONTEXT - 2
        return captions

    monkeypatch.setattr(benchmark_rows, "generate_captions", remember)
    measured(rows=("caption_greedy", "caption_beam"), runs=1)
    assert {num_beams for num_beams, _ in lengths} == {1, 6}
    assert all(tokens == [CONTEXT - 2] * BATCH for _, tokens in lengths)


@pytest.fixture
def in_half(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether images were encoded in half precision, per call."""
    encode, seen = SyCoCa.encode_images, []

    def remember(model: SyCoCa, *arguments):
        casts = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        seen.append(casts or model.log_logit_scale.dtype == torch.bfloat16)
        return encode(model, *arguments)

    monkeypatch.setattr(SyCoCa, "encode_images", remember)
    return seen


def test_half_precision_has_its_own_peak():
    result = measured(rows=("embed_images",), precision="bf16", runs=1)
    assert list(result.rows) == ["matrix_peak", "matrix_peak_bf16", "embed_images"]
    assert result.peaks.keys() == {"fp32", "bf16"}
    product, row = result.rows["matrix_peak_bf16"], result.rows["embed_images"]
    assert product.gflop is not None
    assert row.gflop_per_second is not None
    assert result.peaks["bf16"] == pytest.approx(product.gflop / product.seconds_min)
    assert result.share_of_peak("embed_images") == pytest.approx(row.gflop_per_second / result.peaks["bf16"])


@pytest.mark.parametrize("row", ["train_itc", "embed_images", "caption_greedy"])
def test_training_embedding_and_captioning_use_half_precision(in_half: list[bool], row: str):
    result = measured(rows=(row,), precision="bf16", runs=1)
    assert set(in_half) == {True}
    assert result.rows[row].precision == "bf16"
    in_half.clear()
    assert measured(rows=(row,), runs=1).rows[row].precision == "fp32"
    assert set(in_half) == {False}


def test_int8_rows_are_those_of_inference_in_int8(monkeypatch: pytest.MonkeyPatch):
    encode, seen = SyCoCa.encode_images, []
    monkeypatch.setattr(
        SyCoCa, "encode_images", lambda model, *given: (seen.append(model.is_int8), encode(model, *given))[1]
    )
    result = measured(rows=("embed_images", "retrieval_scoring"), precision="int8", runs=1)
    assert list(result.rows) == ["matrix_peak", "embed_images", "retrieval_scoring"]
    assert set(seen) == {True}
    assert (result.rows["embed_images"].precision, result.rows["embed_images"].gflop) == (None, None)
    assert result.rows["retrieval_scoring"].precision == "fp32"
    assert result.settings["precision"] == "int8"
    assert not {"train_all", "matrix_peak_bf16"} & set(settings(precision="int8").chosen_rows)


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_the_model_is_compiled_where_that_is_configured(monkeypatch: pytest.MonkeyPatch, is_asked_for: bool):
    compiled = set()
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.add(type(module).__name__))
    assert measured(rows=("embed_images",), compile=is_asked_for, runs=1).settings["compile"] == is_asked_for
    components = {"ImageEncoder", "TextEncoder", "TextDecoder", "ImageDecoder"}
    assert compiled == (components if is_asked_for else set())


def test_threads_are_set_and_restored():
    with use_threads(2):
        assert torch.get_num_threads() == 2
        assert measured(rows=("copy_rate",), threads=1, runs=1).machine["threads"] == 1
        assert torch.get_num_threads() == 2


def test_memory_is_reported_where_the_row_was_measured(result: BenchmarkResult):
    built, peak = result.memory["model_built_bytes"], result.memory["train_all_peak_bytes"]
    assert (built is None) == (peak is None)
    if built is not None and peak is not None:
        assert 50 * 2**20 < built < 20 * 2**30
        assert 50 * 2**20 < peak < 20 * 2**30
    assert measured(rows=("copy_rate",), runs=1).memory["train_all_peak_bytes"] is None


def test_presets_larger_than_memory_are_refused_before_building(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_build", lambda *_: pytest.fail("it was built"))
    with pytest.raises(ValueError, match=r"batches of 1,000,000,000 takes at least .* choose a smaller --preset or"):
        measured(batch_size=10**9)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="start it without torchrun"):
        measured()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "smalest"}, "there is no preset 'smalest'; did you mean 'smallest'"),
        ({"rows": ("train_al",)}, "there is no row 'train_al'; did you mean 'train_all'"),
        ({"rows": ("matrix_peak_bf16",)}, "row matrix_peak_bf16 is measured with --precision bf16 only"),
        (
            {"rows": ("train_all",), "precision": "int8"},
            "row train_all is not measured with --precision int8: it trains",
        ),
        ({"precision": "int8", "compile": True}, "int8 matrices are not compiled"),
        ({"rows": ()}, "name at least one row: matrix_peak, copy_rate"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"retrieval_images": 0}, "retrieval_images must be at least 1, got 0"),
        ({"runs": 0}, "runs must be at least 1, got 0"),
        ({"threads": 0}, "threads must lie between 1 and .*, got 0"),
        ({"threads": 100_000}, "threads must lie between 1 and .*, got 100000"),
    ],
)
def test_wrong_settings_are_refused(changes: dict, said: str):
    with pytest.raises(ValueError, match=said):
        settings(**changes)
