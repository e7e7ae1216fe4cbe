"""Images in a folder or zip file: DIR/CLASS/image.jpg, where the class is label and caption, or DIR/image.jpg."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sycoca.data.class_lists import two_columns
from sycoca.data.formats.image_files import (
    ImageFiles,
    ImageFolder,
    StoredImage,
    ZippedImages,
    open_image_files,
    wrapping_folders,
)
from sycoca.data.formats.passed_over import passed_over, warn_of_passed_over
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.rows import Row
from sycoca.data.samples import ImageTextSample
from sycoca.data.selection import EVERYTHING, Selection, select
from sycoca.data.text_files import read_text_lines
from sycoca.file_names import has_suffix, own_name
from sycoca.plain_data import did_you_mean
from sycoca.texts import normal_form
from sycoca.unusable import SkippedSample

_OWN_TEXTS = (".txt", ".json")
"""Suffixes of files that tell of the image of their name, as img2dataset writes them."""

_NUM_ASKED = 100
"""Most images that are asked for a text of their own."""


def open_folder(path: Path, *, labels: Path | None = None, wanted: Selection = EVERYTHING) -> RowSource:
    """Open every image below a folder, sorted by name.

    Where all images are in folders, these are the classes; outer folders that contain nothing but the class folders are
    skipped. ``labels`` is a file that gives the folders their classes' names (see `read_class_names`); without it a
    folder's name is the class's, "_" being a space. Where any image is in no folder, no folder is a class: images have
    neither labels nor captions, and a remark says why. Raises ValueError where most images have a text of their own
    beside them and ``labels`` do not say that folders are classes: they are parts of a set then, called 00000, 00001.
    """
    files = open_image_files(path)
    names = files.image_names()
    if isinstance(files, ImageFolder) and (wrappers := wrapping_folders(names)):
        files = ImageFolder(path / wrappers[-1])
        names = [name.removeprefix(wrappers[-1]) for name in names]
    elif isinstance(files, ZippedImages) and all(name.startswith(f"{path.stem}/") for name in names):
        names = [name.removeprefix(f"{path.stem}/") for name in names]  # a folder, packed under its own name
    if not names:
        raise ValueError("; ".join(filter(None, [f"{path} has no images ({_expected(path)})", passed_over(path)])))
    warn_of_passed_over(path)
    outside = [name for name in names if "/" not in name]
    if outside:
        return _without_classes(path, names, outside, files, labels, wanted)
    if labels is None and (texts := _own_texts(path, names, files)):
        raise ValueError(
            f"{texts}. If the folders are classes all the same, say so with ?labels=FILE, which names the class of each"
        )
    rows = _rows(names, _class_names(names, labels))
    return source_from_rows(path, rows, files, wanted=wanted, can_name_columns=False)


def _expected(path: Path) -> str:
    if path.is_dir() and any(has_suffix(file, ".tar") for file in path.iterdir()):
        return f"it has tar files; their samples are shards:{path}"
    return f"expected {path}/CLASS/image.jpg, or {path}/image.jpg without classes"


def _without_classes(
    path: Path,
    names: Sequence[str],
    outside: Sequence[str],
    files: ImageFiles,
    labels: Path | None,
    wanted: Selection,
) -> RowSource:
    is_flat = len(outside) == len(names)
    number = f"{len(outside):,} of {len(names):,} images lie{'s' if len(outside) == 1 else ''} in no folder"
    mixed = f"{path}: {number} ({outside[0]}), so no folder is a class; move such images into class folders"
    if labels is not None and not is_flat:
        raise ValueError(f"{mixed}, or leave out ?labels=")
    if labels is not None:
        raise ValueError(f"{path} has no class folders, so {labels} names nothing; leave out ?labels=")
    remarks = () if is_flat else (f"{mixed} for labels and captions",)
    if texts := _own_texts(path, names, files):
        remarks = (*remarks, texts)
    samples, skipped = [], []
    for name in names:
        key = name.encode("utf-8", "backslashreplace").decode()
        if key == name:
            samples.append(ImageTextSample(key=name, captions=(), open_image=StoredImage(files, name)))
        else:
            detail = f"{path}/{key}: its name is not UTF-8; rename the file"
            skipped.append(SkippedSample(name=key, reason="no image name", detail=detail))
    if not samples:
        raise ValueError(f"{path}: nothing can be used: {skipped[0].detail}")
    return RowSource(own_name(path), select(samples, wanted.limit, wanted.seed), skipped, remarks)


def _own_texts(path: Path, names: Sequence[str], files: ImageFiles) -> str | None:
    """Return the remark that most images have texts of their own; some are asked, spread evenly. None if they don't."""
    asked = names[:: -(-len(names) // _NUM_ASKED)]
    stems = (name.rpartition(".")[0] for name in asked)
    found = [next((stem + one for one in _OWN_TEXTS if files.fingerprint(stem + one)), None) for stem in stems]
    texts = [text for text in found if text is not None]
    if 2 * len(texts) <= len(asked):
        return None
    # What img2dataset says about a part of a set would be a sample without image.
    command = f"tar --exclude='*_stats.json' -cf FILE.tar {'FOLDER' if has_suffix(path, '.zip') else path}"
    return (
        f"{path}: most images have a text of their own beside them ({texts[0]}), which is read from shards only; pack"
        f" the folder ({command}) and name shards:FILE.tar"
    )


def read_class_names(path: Path) -> dict[str, str]:
    """Return the names of classes by the names of their folders.

    From csv and tsv files two columns are read; from others lines such as ImageNet's "n01440764 tench, Tinca tinca",
    of which the first name is taken, or all of them where two folders would share the first.
    """
    if has_suffix(path, ".csv", ".tsv", ".csv.gz", ".tsv.gz"):
        return dict(two_columns(path, "folder and class"))
    names: dict[str, str] = {}
    for number, line in enumerate(read_text_lines(path), start=1):
        pair = normal_form(line).split(maxsplit=1)
        if len(pair) == 1:
            what = "a folder and its class, as in n01440764 tench, Tinca tinca"
            raise ValueError(f"{path}, line {number}: expected {what}, got {line.strip()[:80]!r}")
        if pair:
            names[pair[0]] = pair[1].strip()
    return _shortened(names)


def _rows(names: Sequence[str], class_names: Mapping[str, str]) -> Iterator[Row]:
    for number, name in enumerate(names, start=1):
        class_name = class_names[name.partition("/")[0]]
        yield Row(place=f"image {number}", image=name, captions=class_name, label=class_name)


def _class_names(names: Sequence[str], labels: Path | None) -> dict[str, str]:
    folders = dict.fromkeys(name.partition("/")[0] for name in names)
    if labels is None:
        return {folder: folder.replace("_", " ") for folder in folders}
    known = read_class_names(labels)
    for folder in folders:
        if normal_form(folder) not in known:
            hint = did_you_mean(folder, known) if len(known) <= 20 else ""
            raise ValueError(f"{labels} names no class for the folder {folder!r}{hint}")
    return {folder: known[normal_form(folder)] for folder in folders}


def _shortened(names: Mapping[str, str]) -> dict[str, str]:
    first = {folder: name.split(",")[0].strip() for folder, name in names.items()}
    times = list(first.values())
    shared = {name for name in times if times.count(name) > 1} if len(set(times)) < len(times) else set()
    return {folder: names[folder] if name in shared else name for folder, name in first.items()}
