"""Conversion of other projects' files into usable weights folders, and back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sycoca
from builders.models import roughened
from builders.sentence_pieces import write_siglip2_tokenizer
from sycoca.cli.command_line import run
from sycoca.cli.main import main
from sycoca.cli.shared.usage import UsageError
from sycoca.facts.limit_facts import ModelLimits, SpoiledAbility
from sycoca.inference.predictor import Predictor
from sycoca.model.config import SyCoCaConfig
from sycoca.model.decoder_configs import ImageDecoderConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.config import WeightsConfig
from sycoca.weights.conversion.convert import CLIP_VOCAB_SIZE, from_hf, from_open_clip, to_open_clip
from sycoca.weights.conversion.open_clip import open_clip_tensors
from sycoca.weights.folder import load_weights, save_weights
from sycoca.weights.parts import load_parts

GOLDENS = Path(__file__).parents[1] / "peers" / "goldens"


def small_coca() -> SyCoCaConfig:
    """CLIP's vocabulary and open_clip's heads of 64 features, everything else as small as it can be."""
    config = SyCoCaConfig()
    pooler = AttentionPoolerConfig(kind="single", num_queries=3, width=64, num_heads=8)
    image = replace(config.image_encoder, image_size=32, width=128, depth=1, num_heads=2, pooling="attention")
    text = replace(config.text_encoder, width=64, depth=1, num_heads=1, cls_mask="shifted")
    decoder = replace(config.text_decoder, depth=1, num_heads=1)
    return replace(
        config,
        image_encoder=replace(image, pooler=pooler),
        text_encoder=text,
        text_decoder=decoder,
        image_decoder=None,
        embed_dim=64,
    )


@pytest.fixture(scope="module")
def coca() -> SyCoCa:
    torch.manual_seed(3)
    return roughened(SyCoCa(small_coca())).eval()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.effect_noise((40, 50), 90).convert("RGB").save(path)
    return path


def save_golden(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    with safe_open(GOLDENS / f"open_clip_{name}.safetensors", "pt") as file:
        described = json.loads(file.metadata()["described"])
    tensors = load_file(GOLDENS / f"open_clip_{name}.safetensors")
    own = {key.removeprefix("peer."): tensors[key] for key in tensors if key.startswith("peer.")}
    save_file(own, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": described}))
    return folder


def small_tokenizer(path: Path) -> Path:
    """Forty ids with bos and eos at the end, as the goldens have them."""
    pieces = ["<pad>", *map(chr, range(ord("A"), ord("A") + 37)), "<bos>", "<eos>"]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    backend.add_special_tokens(["<pad>", "<bos>", "<eos>"])
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(path))
    return path


def test_a_converted_coca_captions_and_exports_bit_for_bit(
    coca: SyCoCa, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
):
    theirs, _ = open_clip_tensors(coca)
    file, weights = tmp_path / "epoch_9.pt", tmp_path / "weights"
    torch.save({"epoch": 9, "state_dict": {f"module.{name}": tensor for name, tensor in theirs.items()}}, file)
    assert main(["convert", "from-open-clip", str(file), "--out", str(weights)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(weights)
    assert (
        "assumed, since tensor shapes do not show it: 2 and 1 heads, gelu, 8 pooler heads, [CLS] mask shifted"
        in said.err
    )
    assert f"{sum(tensor.numel() for tensor in theirs.values()):,} parameters" in said.err

    predictor = sycoca.load(weights, device="cpu")
    assert predictor.model.config == coca.config
    assert len(predictor.caption([photo], max_tokens=5)) == 1
    assert "Converted from a checkpoint of open_clip, `epoch_9.pt`" in (weights / "README.md").read_text()

    assert main(["convert", "to-open-clip", str(weights), "--out", str(tmp_path / "back.safetensors")]) == 0
    assert (tmp_path / "back.safetensors").stat().st_mode == (tmp_path / "back.json").stat().st_mode
    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.items())
    described = json.loads((tmp_path / "back.json").read_text())
    assert described["vision_cfg"]["attentional_pool"] is True
    assert "correct_cls_mask" not in described["text_cfg"]


def test_the_exported_folder_can_be_converted_again(coca: SyCoCa, tmp_path: Path):
    save_file(open_clip_tensors(coca)[0], tmp_path / "model.safetensors")
    from_open_clip(tmp_path / "model.safetensors", tmp_path / "first")
    conversion = to_open_clip(tmp_path / "first", tmp_path / "theirs")
    assert conversion.notices == conversion.dropped == ()
    plain = json.loads((tmp_path / "theirs" / "open_clip_config.json").read_text())
    assert plain["preprocess_cfg"]["resize_mode"] == "shortest"
    again = from_open_clip(tmp_path / "theirs", tmp_path / "second")
    assert again.notices == ()  # nothing has to be assumed
    first, second = load_weights(tmp_path / "first"), load_weights(tmp_path / "second")
    assert second.config.model == first.config.model
    assert second.config.transforms == first.config.transforms
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))
    torch.save({}, tmp_path / "theirs" / "precious.pt")
    with pytest.raises(
        ValueError,
        match=r"is not a checkpoint of open_clip \(precious\.pt would be deleted",
    ):
        to_open_clip(tmp_path / "first", tmp_path / "theirs")


def test_components_that_open_clip_lacks_are_dropped_and_named(coca: SyCoCa, tmp_path: Path):
    save_file(open_clip_tensors(coca)[0], tmp_path / "model.safetensors")
    from_open_clip(tmp_path / "model.safetensors", tmp_path / "weights")
    loaded = load_weights(tmp_path / "weights")
    decoder = ImageDecoderConfig(width=16, depth=1, num_heads=2, mask_tokens="encoder")
    config = replace(
        loaded.config, model=replace(coca.config, image_decoder=decoder, num_classes=2), class_names=("a", "b")
    )
    model = SyCoCa(config.model)
    model.load_state_dict(coca.state_dict(), strict=False)
    save_weights(tmp_path / "larger", model, loaded.tokenizer, config)
    conversion = to_open_clip(tmp_path / "larger", tmp_path / "back.pt")
    assert conversion.dropped == ("image decoder", "mask token", "head for classes")
    back, theirs = torch.load(tmp_path / "back.pt", weights_only=True), open_clip_tensors(coca)[0]
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.items())
    assert not any("do not rely on" in notice for notice in conversion.notices)
    spoiled = SpoiledAbility(ability="captions", reason="other_training", training="classification")
    save_weights(tmp_path / "spoiled", model, loaded.tokenizer, replace(config, limits=ModelLimits(spoiled=(spoiled,))))
    conversion = to_open_clip(tmp_path / "spoiled", tmp_path / "spoiled.pt")
    assert conversion.notices[0].startswith("fine-tuning for classification changed this model without the captioning")


@pytest.mark.parametrize("out", ["theirs", "theirs.safetensors"])
def test_a_padding_token_of_its_own_is_said_and_read_back(tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]):
    tokenizer = Tokenizer.clip(pad="own")
    small = small_coca()
    text = replace(small.text_encoder, vocab_size=tokenizer.vocab_size, cls_mask="correct")
    torch.manual_seed(4)
    model = roughened(SyCoCa(replace(small, text_encoder=text))).eval()
    config = WeightsConfig(model=model.config, masking=MaskingConfig(), transforms=ImageTransformConfig())
    save_weights(tmp_path / "first", model, tokenizer, config)
    assert main(["convert", "to-open-clip", str(tmp_path / "first"), "--out", str(tmp_path / out)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "vocabulary of 49,409 ids: CLIP's 49,408 and the model's own padding token, id 49408" in said
    assert "pads with id 0 instead, which changes nothing, since no text attends to padding" in said
    given = [] if out == "theirs" else ["--config", str(tmp_path / "theirs.json")]
    words = ["convert", "from-open-clip", str(tmp_path / out), "--out", str(tmp_path / "second"), *given]
    assert main(words) == 0
    assert "taken for CLIP's 49,408 and a padding token, id 49408" in capsys.readouterr().err
    first, second = load_weights(tmp_path / "first"), load_weights(tmp_path / "second")
    assert second.config.model == first.config.model
    assert (tmp_path / "second" / "tokenizer.json").read_bytes() == (tmp_path / "first" / "tokenizer.json").read_bytes()
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))
    # As open_clip's tokenizer pads, with id 0, texts have the same embeddings.
    texts = ["a cat", "a dog on a bench"]
    zero = Predictor(first.model, Tokenizer.clip(pad="zero"), first.config)
    own = Predictor(first.model, first.tokenizer, first.config)
    assert torch.equal(zero.embed_texts(texts), own.embed_texts(texts))


@pytest.mark.parametrize("name", ["coca", "coca2_cascade", "clip_quickgelu"])
def test_another_vocabulary_needs_its_tokenizer(tmp_path: Path, name: str, photo: Path):
    source = save_golden(tmp_path / "theirs", name)
    with pytest.raises(ValueError, match=r"a vocabulary of 40 ids, which is not CLIP's \(49,408\): give its tokenizer"):
        from_open_clip(source, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
    tokenizer = small_tokenizer(tmp_path / "tokenizer.json")
    from_open_clip(source, tmp_path / "weights", tokenizer_path=tokenizer)
    predictor = sycoca.load(tmp_path / "weights", device="cpu")
    assert predictor.embed_texts(["ABC", "D"]).shape == (2, 16)
    assert predictor.embed_images([photo]).shape == (1, 16)
    conversion = to_open_clip(tmp_path / "weights", tmp_path / "back.safetensors")
    assert "the vocabulary is not CLIP's" in conversion.notices[0]


def test_transforms_are_those_of_the_folder(tmp_path: Path):
    source = save_golden(tmp_path / "theirs", "clip")
    path = source / "open_clip_config.json"
    pixels: dict[str, Any] = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5], "resize_mode": "squash"}
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"preprocess_cfg": pixels | {"interpolation": "bilinear"}}))
    tokenizer = small_tokenizer(tmp_path / "tokenizer.json")
    conversion = from_open_clip(source, tmp_path / "weights", tokenizer_path=tokenizer)
    assert conversion.notices == (
        "the model was trained on images resized with bilinear interpolation; here they are resized with bicubic"
        " interpolation",
    )
    transforms = load_weights(tmp_path / "weights").config.transforms
    assert (transforms.mean, transforms.std, transforms.resize) == ((0.5, 0.5, 0.5), (0.25, 0.5, 0.5), "squash")
    path.write_text(json.dumps(described | {"preprocess_cfg": pixels | {"resize_mode": "longest"}}))
    with pytest.raises(ValueError, match="resize_mode is 'longest'; shortest and squash can be converted"):
        from_open_clip(source, tmp_path / "weights", tokenizer_path=tokenizer, overwrite=True)


def test_a_hugging_face_clip_can_be_used_with_its_transforms(tmp_path: Path, photo: Path):
    source = tmp_path / "theirs"
    source.mkdir()
    for name in ("config.json", "model.safetensors"):
        (source / name).write_bytes((GOLDENS / "hf_clip_gelu" / name).read_bytes())
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 24}, "resample": 3}
    (source / "preprocessor_config.json").write_text(json.dumps(pixels))
    conversion = from_hf(source, tmp_path / "weights", tokenizer_path=small_tokenizer(tmp_path / "tokenizer.json"))
    assert conversion.notices == ()
    predictor = sycoca.load(tmp_path / "weights", device="cpu")
    assert predictor.similarity([photo], ["A", "B"]).shape == (1, 2)
    assert predictor.config.transforms.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "norm_eps"),
    [
        ("hf_vit", 1e-12),
        ("hf_vit_mae", 1e-12),
        ("hf_dinov2", 1e-6),
        ("hf_dinov2_registers", 1e-6),
        ("hf_dinov2_swiglu", 1e-6),
        ("hf_dinov3", 1e-5),
        ("hf_dinov3_gated", 1e-5),
        ("hf_siglip", 1e-6),
    ],
)
def test_a_vit_becomes_an_image_encoder_that_initializes_training(
    tmp_path: Path, name: str, norm_eps: float, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "encoder"
    alone = ["--image-encoder-only"] if name == "hf_siglip" else []
    assert main(["convert", "from-hf", str(GOLDENS / name), "--out", str(out), *alone]) == 0
    said = capsys.readouterr().err
    assert "dropped: " in said
    assert f"--start.weights {out}" in said
    assert load_parts(out).tokenizer is None
    plain = json.loads((out / "config.json").read_text())
    assert plain["image_encoder"]["norm_eps"] == norm_eps
    is_old = name in ("hf_vit", "hf_vit_mae", "hf_dinov2")
    assert plain["format_version"] == (4 if is_old else 5), "older versions read what they know"
    num_registers = {"hf_dinov2_registers": 4, "hf_dinov3": 3, "hf_dinov3_gated": 3}
    assert plain["image_encoder"].get("num_registers") == num_registers.get(name)
    assert plain["image_encoder"].get("rope_theta") == (256 if "dinov3" in name else None)
    with pytest.raises(ValueError, match="holds an image encoder alone"):
        sycoca.load(out)


def test_a_siglip_becomes_a_whole_model(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]):
    source, out = shutil.copytree(GOLDENS / "hf_siglip", tmp_path / "siglip"), tmp_path / "weights"
    convert = ["convert", "from-hf", str(source), "--out", str(out)]
    assert main(convert) == 1
    assert "has no tokenizer.json, which its text encoder needs" in capsys.readouterr().err
    write_siglip2_tokenizer(source)
    assert main(convert) == 0
    assert f"{convert[2]} --out ENCODER --image-encoder-only, to train a captioner" in capsys.readouterr().err
    plain = json.loads((out / "config.json").read_text())
    assert plain["format_version"] == 5
    assert (plain["model"]["text_encoder"]["pooling"], plain["model"]["has_logit_bias"]) == ("last", True)
    predictor = sycoca.load(out, device="cpu")
    assert predictor.similarity([photo], ["a cat", "the dog"]).shape == (1, 2)
    assert predictor.classify([photo], ["cat", "dog"], templates=["a {}"])[0] in ("cat", "dog")
    # An embedding depends on no other text, though each attends to its padding.
    together = predictor.embed_texts(["a cat", "the dog does the cat"])
    torch.testing.assert_close(predictor.embed_texts(["A Cat"]), together[:1])
    assert [word.word for word in predictor.tokenizer.word_spans("a cat", predictor.context_length)] == ["a", "cat"]
    with pytest.raises(ValueError, match=r"has no text decoder and cannot have one, since tokens .* \(pooling last\)"):
        predictor.caption([photo])
    with pytest.raises(ValueError, match="open_clip has no such model: image pooling map"):
        to_open_clip(out, tmp_path / "back.safetensors")
    with pytest.raises(UsageError, match="which a captioner would see"):
        run(["pretrain", "tiny", "--model.text-encoder.pooling", "last", "--dry-run", "--out", str(tmp_path / "run")])


def test_a_siglip_that_does_not_fit_together_is_refused(tmp_path: Path):
    source = shutil.copytree(GOLDENS / "hf_siglip", tmp_path / "siglip")
    write_siglip2_tokenizer(source)
    described = json.loads((source / "config.json").read_text())
    for section, changes, reason in (
        ("text_config", {"projection_size": 8}, "images have 16 features, texts 8"),
        ("text_config", {"vocab_size": 41}, "text_config.vocab_size is 41, the tokenizer has 40 ids"),
        ("text_config", {"hidden_act": "relu"}, "text_config.hidden_act is 'relu'"),
    ):
        changed = described | {section: described[section] | changes}
        (source / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=reason):
            from_hf(source, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_other_models_of_hugging_face_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "blip"}))
    assert main(["convert", "from-hf", str(tmp_path), "--out", str(tmp_path / "weights")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "is of a model of type 'blip'; these can be converted: clip, clip_vision_model, siglip, siglip_vis" in said
    described = {"model_type": "clip", "vision_config": {"hidden_act": "relu"}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert main(["convert", "from-hf", str(tmp_path), "--out", str(tmp_path / "weights")]) == 1
    assert "hidden_act is 'relu'; gelu, quick_gelu, gelu_pytorch_tanh can be converted" in capsys.readouterr().err
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov3_vit", "use_gated_mlp": True}))
    assert main(["convert", "from-hf", str(tmp_path), "--out", str(tmp_path / "weights")]) == 1
    assert "hidden_act is 'gelu', a gated MLP can be converted with silu only" in capsys.readouterr().err


def test_the_older_name_of_the_command_stays(tmp_path: Path):
    assert main(["convert", "from-hf-clip", str(GOLDENS / "hf_vit"), "--out", str(tmp_path / "encoder")]) == 0


def test_a_vocabulary_of_the_same_size_is_compared(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    vocabulary = {f"piece {number}": number for number in range(CLIP_VOCAB_SIZE)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ValueError, match=r"vocab\.json is not CLIP's vocabulary \('piece 0'\)"):
        from_hf(tmp_path, tmp_path / "weights")
