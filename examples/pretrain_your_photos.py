"""Pretrain on a folder of images and a list of captions, then caption one image and search for another.

    python examples/pretrain_your_photos.py                                    # generated images, under a minute
    python examples/pretrain_your_photos.py --images photos --list captions.csv --steps 2000

The list is a CSV file with the columns image (a path relative to the folder) and caption, one caption per row.
"""

import argparse
import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import sycoca
from sycoca.data.scenes.source import ScenesSource
from sycoca.presets.pretrain import pretrain_preset


def main() -> None:
    """Read the list, pretrain, caption one image, search for another."""
    arguments = parse_arguments()
    if arguments.images is None:
        arguments.images, arguments.list = generate_pictures(arguments.out / "pictures", arguments.count)
    pairs = read_pairs(arguments.images, arguments.list)
    held_out = pairs[:: max(2, len(pairs) // 50)]
    trained = [pair for pair in pairs if pair not in held_out]

    config = pretrain_preset("tiny")
    training = replace(config.training, steps=arguments.steps, global_batch_size=32, evaluate_every=None)
    config = replace(config, out=str(arguments.out / "run"), training=training)
    run = sycoca.pretrain(config, trained, validation=held_out)

    predictor = sycoca.load(run / "weights")
    pictures = [picture for picture, _ in held_out]
    print(f"\ncaption of {pictures[0].name}: {predictor.caption(pictures[:1])[0]}")
    query = held_out[-1][1][0]
    best = predictor.similarity(pictures, [query])[:, 0].argmax()
    print(f'best match for "{query}": {pictures[best].name}')
    print(f"report: {run / 'report.html'}")


def read_pairs(images: Path, listing: Path) -> list[tuple[Path, list[str]]]:
    """Return every image with its captions; `sycoca.pretrain` takes any iterable of such pairs."""
    captions: dict[Path, list[str]] = defaultdict(list)
    with listing.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            captions[images / row["image"]].append(row["caption"])
    return list(captions.items())


def generate_pictures(folder: Path, count: int) -> tuple[Path, Path]:
    """Write images of colored shapes and their captions, as a stand-in for photos."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / "captions.csv"
    source = ScenesSource(level="easy", count=count)
    with listing.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for index in range(count):
            source[index].open_image().save(folder / f"{index:04}.png")
            writer.writerows([f"{index:04}.png", caption] for caption in source[index].captions)
    return folder, listing


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of images; without it, images are generated")
    parser.add_argument("--list", type=Path, help="CSV file with the columns image and caption")
    parser.add_argument("--out", type=Path, default=Path("runs/your_photos"), help="output folder")
    parser.add_argument("--steps", type=int, default=150, help="training steps; real photos need thousands")
    parser.add_argument("--count", type=int, default=500, help="number of images to generate")
    arguments = parser.parse_args()
    if (arguments.images is None) != (arguments.list is None):
        parser.error("--images and --list belong together")
    return arguments


if __name__ == "__main__":
    main()
