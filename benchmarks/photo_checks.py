"""Measure the photo checks of ``sycoca data check``: precision and recall on damaged photos, and time beside decoding.

    python benchmarks/photo_checks.py FOLDER_OF_PHOTOS [--every N]

Every damage is applied to every N-th photo. Undamaged photos that are found count as wrong, though some are blurred or
dark as they are, so precision is a lower bound. It is given for a set of which 1 in 10 photos is damaged.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from sycoca.data.inspection.duplicates import find_duplicates
from sycoca.data.inspection.image_facts import ImageFacts, image_facts
from sycoca.data.inspection.photo_checks import DEFAULT_THRESHOLDS, measured
from sycoca.data.inspection.photo_measures import photo_measures
from sycoca.facts.photo_facts import PHOTO_KINDS, PhotoKind
from sycoca.preprocess.decoding import open_rgb

DAMAGED_RATIO = 0.1
Damage = Callable[[Image.Image], Image.Image]


def of_pixels(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Return a damage that changes pixels of 0 to 255."""
    return lambda image: Image.fromarray(change(np.asarray(image, float)).clip(0, 255).round().astype(np.uint8))


def exposed(stops: float) -> Damage:
    """Return what a camera sees that gets 2^stops as much light (gamma 2.2)."""
    return of_pixels(lambda pixels: 255 * ((pixels / 255) ** 2.2 * 2.0**stops).clip(0, 1) ** (1 / 2.2))


def moved(steps: int, axes: tuple[int, ...]) -> Damage:
    """Return what a camera sees that moves by so many pixels."""
    return of_pixels(lambda pixels: sum(np.roll(pixels, (i,) * len(axes), axes) for i in range(steps)) / steps)


def enlarged(factor: int) -> Damage:
    """Return a photo that was enlarged from few pixels."""
    return lambda image: image.resize((image.width // factor, image.height // factor), Image.Resampling.BOX).resize(
        image.size, Image.Resampling.BICUBIC
    )


def blended(level: int, ratio: float) -> Damage:
    """Return a photo behind a veil of gray or white."""
    return lambda image: Image.blend(image, Image.new("RGB", image.size, (level,) * 3), ratio)


def small_in_white(image: Image.Image) -> Image.Image:
    """Return a white page with the photo small on it."""
    page = Image.new("RGB", image.size, (255, 255, 255))
    page.paste(image.resize((image.width // 5, image.height // 5)), (image.width // 3, image.height // 3))
    return page


def gradient(image: Image.Image) -> Image.Image:
    """Return a gradient between the colors of two corners."""
    first, last = (np.array(image.getpixel(at), float) for at in ((0, 0), (image.width - 1, image.height - 1)))
    ratio = np.linspace(0, 1, image.width)[None, :, None]
    return Image.fromarray(np.broadcast_to(first + ratio * (last - first), (image.height, image.width, 3)).astype("u1"))


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    """Return the photo as a JPEG of that quality."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, ratio: float) -> Image.Image:
    """Return the photo without its margins."""
    dx, dy = round(image.width * ratio / 2), round(image.height * ratio / 2)
    return image.crop((dx, dy, image.width - dx, image.height - dy))


DAMAGES: dict[PhotoKind, dict[str, Damage]] = {
    "blurred": {
        "out of focus, 1 px": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
        "out of focus, 2 px": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
        "out of focus, 4 px": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
        "2 px, JPEG of quality 50": lambda image: recompressed(image.filter(ImageFilter.GaussianBlur(2)), 50),
        "shaken, 5 px across": moved(5, (1,)),
        "shaken, 9 px down": moved(9, (0,)),
        "shaken, 9 px diagonally": moved(9, (0, 1)),
        "enlarged 2 times": enlarged(2),
        "enlarged 4 times": enlarged(4),
    },
    "dark": {f"{-stops} stops less light": exposed(stops) for stops in (-2, -3, -4, -5)},
    "bright": {
        **{f"{stops} stops more light": exposed(stops) for stops in (2, 3, 4, 5)},
        "80 % white over it": blended(255, 0.8),
        "90 % white over it": blended(255, 0.9),
    },
    "low_information": {
        "a color gradient": gradient,
        "small on a white page": small_in_white,
        "90 % gray over it": blended(128, 0.9),
    },
    "odd_aspect": {
        f"a strip of {ratio} : 1": lambda image, ratio=ratio: image.crop((0, 0, image.width, image.width // ratio))
        for ratio in (2, 4, 6)
    },
}

COPIES: dict[str, Damage] = {
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "JPEG of quality 30": partial(recompressed, quality=30),
    "2 % cropped": partial(cropped, ratio=0.02),
    "5 % cropped": partial(cropped, ratio=0.05),
    "10 % cropped": partial(cropped, ratio=0.1),
    "10 % brighter": of_pixels(lambda pixels: 1.1 * pixels),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def is_found(kind: PhotoKind, facts: ImageFacts) -> bool:
    """Return whether a photo is of that kind by the default thresholds."""
    value, threshold = measured(kind, facts), DEFAULT_THRESHOLDS.of(kind)
    return value is not None and (value < threshold if PHOTO_KINDS[kind].is_below else value > threshold)


def precision(recall: float, false_alarms: float) -> float:
    """Return the precision where 1 in 10 photos is damaged."""
    found = DAMAGED_RATIO * recall
    return found / max(1e-12, found + (1 - DAMAGED_RATIO) * false_alarms)


def report_kinds(facts: list[ImageFacts], images: list[Image.Image]) -> None:
    """Print recall and precision of every kind."""
    print(f"\n{len(facts):,} photos as they are, {len(images):,} of them damaged")
    for kind, damages in DAMAGES.items():
        alarms = float(np.mean([is_found(kind, fact) for fact in facts]))
        print(f"{kind}: {alarms:.2%} of the photos as they are")
        for name, damage in damages.items():
            recall = float(np.mean([is_found(kind, image_facts(damage(image))) for image in images]))
            print(f"  {name:26} recall {recall:6.1%}  precision at 1 in 10 {precision(recall, alarms):6.1%}")


def report_duplicates(facts: list[ImageFacts], images: list[Image.Image], every: int) -> None:
    """Print recall of copies, and what else is taken for a copy.

    A copy is matched wrongly where its group holds a photo other than its own and that one's identical copies.
    """
    groups = find_duplicates(facts)
    print(f"near duplicates: {len(groups)} groups among the photos as they are:")
    for group in groups:
        print(f"  {group.match_kind}: photos {group.places}")
    for name, change in COPIES.items():
        copies = [image_facts(change(image)) for image in images]
        found = find_duplicates([*facts, *copies])
        group_of = {place: group.places for group in found for place in group.places}
        right = wrong = 0
        for number in range(len(images)):
            own, group = every * number, group_of.get(len(facts) + number, ())
            right += own in group
            pixels = {facts[place].pixel_hash for place in group if place < len(facts)}
            wrong += not pixels <= {facts[own].pixel_hash}
        print(f"  {name:26} recall {right / len(images):6.1%}  copies matched with another photo: {wrong}")


def report_time(files: list[Path]) -> None:
    """Print seconds of decoding, of hashes and of the photo checks."""
    seconds = {"decoding": 0.0, "hashes and colors": 0.0, "photo checks": 0.0}
    for file in files:
        started_at = time.process_time()
        image = open_rgb(file)
        decoded_at = time.process_time()
        image_facts(image)
        all_at = time.process_time()
        photo_measures(image.convert("L"))
        ended_at = time.process_time()
        checks = ended_at - all_at
        for name, spent in zip(seconds, (decoded_at - started_at, all_at - decoded_at - checks, checks), strict=True):
            seconds[name] += spent
    total = seconds["decoding"]
    print("\nprocessor time of one thread")
    for name, spent in seconds.items():
        print(f"  {name:20} {1000 * spent / len(files):6.2f} ms a photo, {spent / total:6.1%} of decoding")


def opened(files: list[Path]) -> Iterator[Image.Image]:
    """Decode the photos, one at a time."""
    return (open_rgb(file) for file in files)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=20)
    chosen = parser.parse_args()
    files = sorted(path for path in chosen.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    damaged = files[:: chosen.every]
    report_time(damaged)
    facts = [image_facts(image) for image in opened(files)]
    images = list(opened(damaged))
    report_kinds(facts, images)
    report_duplicates(facts, images, chosen.every)


if __name__ == "__main__":
    main()
