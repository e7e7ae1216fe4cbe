"""Captions, embeddings and similarities from the ONNX files beside this script, without PyTorch.

Needs numpy, pillow, tokenizers and onnxruntime (1.23 or newer). On the command line:

    python sycoca_onnx.py caption photo.jpg other.png
    python sycoca_onnx.py embed --images photo.jpg --texts "a dog" "a cat" --out embeddings.npz
    python sycoca_onnx.py similarity --images photo.jpg --texts "a dog" "a cat"

In Python:

    from sycoca_onnx import Model
    model = Model("folder/of/the/onnx/files")
    model.caption(["photo.jpg"])  # list of str
    model.embed_images(["photo.jpg"]) @ model.embed_texts(["a dog"]).T  # cosines
"""

import argparse
import html
import importlib
import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
from PIL import Image, PngImagePlugin

FORMAT_VERSION = 1  # of config.json

ImageInput = Image.Image | str | Path
_HERE = Path(__file__).parent
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
_MIN_SIDE, _MAX_PIXELS, _ORIENTATION_TAG = 2, 89_478_485, 0x0112
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # long texts of PNG files are no reason to refuse them
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


class Model:
    """An exported model. Images are PIL images or paths of files; results are NumPy arrays and strings."""

    def __init__(self, folder: str | Path = _HERE, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        """Open the folder; ``providers`` are onnxruntime's, in order of preference."""
        self._folder, self._providers = Path(folder), _listed(providers)
        self.config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        if (version := self.config.get("format_version")) != FORMAT_VERSION:
            raise ValueError(f"{folder} has format_version {version}, not {FORMAT_VERSION}; use its own sycoca_onnx.py")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        # A text that contains the letters of a special token is text.
        self._tokenizer.encode_special_tokens = True
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def embed_images(self, images: Iterable[ImageInput], batch_size: int = 64) -> np.ndarray:
        """Return each image's vector, L2-normalized: float32 (images, embed)."""
        parts = [self._encode(part)["image_embeds"] for part in _parts(_listed(images), batch_size)]
        return np.concatenate([self._no_rows("image_encoder", "image_embeds"), *parts])

    def embed_texts(self, texts: Iterable[str], batch_size: int = 256) -> np.ndarray:
        """Return each text's vector, L2-normalized: float32 (texts, embed). Texts that are too long lose their end."""
        sequences = [self.token_ids(text) for text in _listed(texts)]
        # Those of similar length together, so that there is little padding.
        order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
        batches = [self._embed_tokens([sequences[place] for place in part]) for part in _parts(order, batch_size)]
        return np.concatenate([self._no_rows("text_encoder", "text_embeds"), *batches])[np.argsort(order)]

    def caption(
        self, images: Iterable[ImageInput], min_tokens: int = 1, max_tokens: int | None = None, batch_size: int = 64
    ) -> list[str]:
        """Return one caption per image, decoded greedily, of ``min_tokens`` to ``max_tokens`` tokens."""
        if "caption_step" not in self.config["graphs"]:
            raise ValueError(self.config.get("no_captions") or "this model has no text decoder")
        most = self.config["context_length"] - 2
        longest = most if max_tokens is None else max_tokens
        if not 0 <= min_tokens <= longest <= most or longest == 0:
            raise ValueError(f"captions have at most {most} tokens, asked for are {min_tokens} to {longest}")
        memories = (self._encode(part)["memory"] for part in _parts(_listed(images), batch_size))
        return [self._text(ids) for memory in memories for ids in self._greedy(memory, min_tokens, longest)]

    def pixels(self, images: Sequence[ImageInput]) -> np.ndarray:
        """Return images as the model sees them: float32 (images, 3, size, size)."""
        with ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(self._pixels, images)))

    def token_ids(self, text: str) -> list[int]:
        """Return bos (if texts begin with it), the text and eos."""
        text = clean_text(text, self.config["text_cleaning"])
        begin = [] if self.config["bos_id"] is None else [self.config["bos_id"]]
        most = self.config["context_length"] - len(begin) - 1
        return [*begin, *self._tokenizer.encode(text, add_special_tokens=False).ids[:most], self.config["eos_id"]]

    def _pixels(self, image: ImageInput) -> np.ndarray:
        size = self.config["image_size"]
        upright = to_rgb(image) if isinstance(image, Image.Image) else open_rgb(image, smallest_side=2 * size)
        width, height = upright.size
        box = (0.0, 0.0, float(width), float(height))
        if self.config["resize"] == "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        if upright.size != (size, size):
            upright = upright.resize((size, size), Image.Resampling.BICUBIC, box=box)
        mean, std = (np.array(self.config[name], np.float32) for name in ("mean", "std"))
        return ((np.asarray(upright).astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)

    def _text(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        # CLIP's words end with a space, others begin with one.
        return text.removeprefix(" ") if self.config["text_cleaning"] == "none" else text.removesuffix(" ")

    def _encode(self, images: Sequence[ImageInput]) -> dict[str, np.ndarray]:
        return self._run("image_encoder", pixels=self.pixels(images))

    def _embed_tokens(self, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        lengths = np.array([len(sequence) for sequence in sequences], np.int64)
        tokens = np.full((len(sequences), lengths.max()), self.config["pad_id"], np.int64)
        for row, sequence in zip(tokens, sequences, strict=True):
            row[: len(sequence)] = sequence
        return self._run("text_encoder", tokens=tokens, lengths=lengths)["text_embeds"]

    def _greedy(self, memory: np.ndarray, min_tokens: int, max_tokens: int) -> list[list[int]]:
        """Return token ids without bos and eos; a row that has ended costs nothing further."""
        of_image = self._run("caption_prefill", memory=memory)
        ports = [port for port in self._session("caption_step").get_inputs() if port.name.startswith("past_")]
        caches = {port.name: np.zeros((len(memory), port.shape[1], 0, port.shape[3]), np.float32) for port in ports}
        captions: list[list[int]] = [[] for _ in memory]
        rows, tokens = np.arange(len(memory)), np.full(len(memory), self.config["bos_id"], np.int64)
        for place in range(max_tokens):
            found = self._run("caption_step", token=tokens[:, None], **of_image, **caches)
            tokens = self._most_probable(found.pop("logits"), may_end=place >= min_tokens)
            goes_on = tokens != self.config["eos_id"]
            for row, token in zip(rows[goes_on], tokens[goes_on], strict=True):
                captions[row].append(int(token))
            if not goes_on.any():
                break
            rows, tokens = rows[goes_on], tokens[goes_on]
            caches = dict(zip(caches, found.values(), strict=True))
            if not goes_on.all():
                of_image = {name: array[goes_on] for name, array in of_image.items()}
                caches = {name: array[goes_on] for name, array in caches.items()}
        return captions

    def _most_probable(self, logits: np.ndarray, may_end: bool) -> np.ndarray:
        if np.isnan(logits).any():
            raise ValueError("the model predicts NaN: its weights have diverged")
        forbidden = [self.config[name] for name in ("pad_id", "bos_id", *(() if may_end else ("eos_id",)))]
        logits[:, forbidden] = -np.inf
        return logits.argmax(1)

    def _no_rows(self, graph: str, name: str) -> np.ndarray:
        (shape,) = (port["shape"] for port in self.config["graphs"][graph]["outputs"] if port["name"] == name)
        return np.zeros((0, *shape[1:]), np.float32)

    def _run(self, graph: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        names = [port.name for port in self._session(graph).get_outputs()]
        return dict(zip(names, map(np.asarray, self._session(graph).run(names, inputs)), strict=True))

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        if graph not in self._sessions:
            file = self._folder / f"{graph}.onnx"
            self._sessions[graph] = onnxruntime.InferenceSession(file, providers=self._providers)
        return self._sessions[graph]


def open_rgb(file: str | Path, smallest_side: int) -> Image.Image:
    """Read an image file as upright RGB; a large JPEG is decoded reduced, to sides that are no smaller than asked."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if min(image.size) < _MIN_SIDE or image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"it has {image.width:,} x {image.height:,} pixels")
            image.draft("RGB", (smallest_side, smallest_side))
            return to_rgb(image)
    except Exception as error:  # damaged files make decoders raise anything
        raise ValueError(f"{file} cannot be read as an image: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image turned upright in RGB: what is transparent becomes white, 16 bits keep their upper 8."""
    image.load()
    turn = None
    with suppress(Exception):  # metadata that cannot be read does not spoil the pixels
        turn = _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "F" or upright.mode.startswith("I"):
        upright = _eight_bits(upright)
    if upright.mode in _WITH_ALPHA or "transparency" in upright.info:
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, (255,) * 4), upright.convert("RGBA"))
    return upright.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    scale, largest = 1 / 257, 65535.0
    if image.mode == "F":
        scale, largest = (255.0, 1.0) if values.max() <= 1 else (1.0, 255.0)
    if not (values.min() >= 0 and values.max() <= largest):
        raise ValueError(f"its values reach from {values.min():g} to {values.max():g}; save it with 8 bits")
    key = image.info.get("transparency")
    if isinstance(key, int):
        values = np.where(values == key, largest, values)
    return Image.fromarray((values * scale).round().astype(np.uint8))


def clean_text(text: str, cleaning: str) -> str:
    """Return a text as the tokenizer wants it; ``cleaning`` stands in config.json.

    none: as it is. clip: HTML entities resolved, lower-cased, one space between words. clip_ftfy: the same, after the
    package ftfy has repaired what is broken, for which texts of plain ASCII do not need it.
    """
    if cleaning == "none":
        return text
    if cleaning not in ("clip", "clip_ftfy"):
        raise ValueError(f"text_cleaning must be none, clip or clip_ftfy, got {cleaning!r}")
    is_plain = text.isascii() and text.isprintable() and "&" not in text
    if cleaning == "clip_ftfy" and not is_plain:
        text = importlib.import_module("ftfy").fix_text(text)
    return " ".join(html.unescape(html.unescape(text)).lower().split())


def _listed(values: Iterable[Any]) -> list[Any]:
    if isinstance(values, str | Path | Image.Image):
        raise ValueError(f"expected a list, got one {type(values).__name__}; put it in brackets")
    return list(values)


def _parts(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns 0, or 1 after an error, which is one line on stderr."""
    # PIL remarks on odd metadata; what matters is raised.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    options = _parser().parse_args(arguments)
    try:
        options.run(Model(options.model), options)
    except (ImportError, OSError, ValueError) as error:
        print(f"sycoca_onnx: {error}", file=sys.stderr)
        return 1
    return 0


def _caption(model: Model, options: argparse.Namespace) -> None:
    captions = model.caption(options.images, options.min_tokens, options.max_tokens)
    for path, caption in zip(options.images, captions, strict=True):
        print(f"{path}: {caption}")


def _embed(model: Model, options: argparse.Namespace) -> None:
    if not options.images and not options.texts:
        raise ValueError("give --images, --texts or both")
    found: dict[str, Any] = {"images": model.embed_images(options.images)} if options.images else {}
    found |= {"texts": model.embed_texts(options.texts)} if options.texts else {}
    with open(options.out, "wb") as file:
        np.savez(file, **found)
    print(", ".join(f"{len(rows)} {name}" for name, rows in found.items()), f"in {options.out}", file=sys.stderr)


def _similarity(model: Model, options: argparse.Namespace) -> None:
    cosines = model.embed_images(options.images) @ model.embed_texts(options.texts).T
    for path, row in zip(options.images, cosines, strict=True):
        for text, cosine in zip(options.texts, row, strict=True):
            print(f"{cosine:.4f}\t{path}\t{text}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Caption and embed with an exported SyCoCa model.")
    parser.add_argument("--model", default=_HERE, help="the exported folder (default: the script's)")
    commands = parser.add_subparsers(required=True)
    caption = commands.add_parser("caption", help="print a caption for every image")
    caption.set_defaults(run=_caption)
    caption.add_argument("images", nargs="+", help="image files")
    caption.add_argument("--min-tokens", type=int, default=1, help="fewest tokens of a caption (default: 1)")
    caption.add_argument("--max-tokens", type=int, help="most tokens of a caption (default: as many as in training)")
    embed = commands.add_parser("embed", help="write vectors of images and texts, L2-normalized")
    embed.set_defaults(run=_embed)
    embed.add_argument("--out", default="embeddings.npz", help="the file to write (default: embeddings.npz)")
    similarity = commands.add_parser("similarity", help="print the cosine of every image with every text")
    similarity.set_defaults(run=_similarity)
    for command in (embed, similarity):
        command.add_argument("--images", nargs="+", required=command is similarity, help="image files")
        command.add_argument("--texts", nargs="+", required=command is similarity, help="texts, each in quotes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
