"""From a folder of pictures and a list of captions to a model that captions and finds them.

    python examples/pretrain_your_photos.py                                    # generated pictures, under a minute
    python examples/pretrain_your_photos.py --images photos --list captions.csv --steps 2000

The list has a header and two columns: image (a name below the folder) and caption. A picture may have several lines.
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
    """Read the list, pretrain, caption one picture, search for another."""
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
    print(f"\n{pictures[0].name} in the model's words: {predictor.caption(pictures[:1])[0]}")
    query = held_out[-1][1][0]
    best = predictor.similarity(pictures, [query])[:, 0].argmax()
    print(f'the best picture for "{query}": {pictures[best].name}')
    print(f"everything else: {run / 'report.html'}")


def read_pairs(images: Path, listing: Path) -> list[tuple[Path, list[str]]]:
    """Return every picture with its captions; any iterable of such pairs can be trained on."""
    captions: dict[Path, list[str]] = defaultdict(list)
    with listing.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            captions[images / row["image"]].append(row["caption"])
    return list(captions.items())


def generate_pictures(folder: Path, count: int) -> tuple[Path, Path]:
    """Write pictures of colored shapes and their list, as a stand-in for photos."""
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
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of pictures; without it some are generated")
    parser.add_argument("--list", type=Path, help="csv file with the columns image and caption")
    parser.add_argument("--out", type=Path, default=Path("runs/your_photos"), help="where everything goes")
    parser.add_argument("--steps", type=int, default=150, help="updates; thousands for real photos")
    parser.add_argument("--count", type=int, default=500, help="how many pictures to generate")
    arguments = parser.parse_args()
    if (arguments.images is None) != (arguments.list is None):
        parser.error("--images and --list belong together")
    return arguments


if __name__ == "__main__":
    main()
