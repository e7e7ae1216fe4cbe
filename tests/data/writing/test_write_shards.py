"""Shards hold the samples of any source, with the same bytes however they are written."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sycoca.data.samples import ImageTextSample, SampleSource, skipped_samples
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.spec import open_source
from sycoca.data.writing import write_shards as module
from sycoca.data.writing.shard_files import SUFFIXES, packed_bytes, write_shard
from sycoca.data.writing.shard_layout import ShardLayout
from sycoca.data.writing.write_shards import ShardFolder, write_shards
from sycoca.outputs.errors import OutputError, OutputInterrupted
from sycoca.outputs.manifest import DamageError, check_manifest
from sycoca.preprocess.decoding import FORMATS

FORMAT_OF = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP"}


def members(folder: Path) -> dict[str, bytes]:
    """Return the content of all members of all shards by their names; every name occurs once."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                assert member.name not in found
                assert member.mtime == member.uid == member.gid == 0
                assert member.uname == member.gname == ""
                assert member.mode == 0o644
                found[member.name] = file.read()
    return found


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(content) for name, content in sorted(members(folder).items()) if name.endswith(".json")]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def photos(folder: Path, count: int, *, broken: tuple[int, ...] = ()) -> str:
    """Write images of all formats, one of them misnamed, and return the SPEC of a list of them."""
    lines = []
    for index in range(count):
        suffix = list(FORMAT_OF)[index % len(FORMAT_OF)]
        path = folder / f"photo {index}.{'png' if index == 0 else suffix}"
        image = Image.fromarray(np.random.default_rng(index).integers(0, 255, (9, 12, 3), dtype=np.uint8))
        image.save(path, FORMAT_OF[suffix])
        if index in broken:
            path.write_bytes(path.read_bytes()[:40])
        captions = [f"caption {index}", "zweite Unterschrift, grün"][: 1 + index % 2]
        lines.append({"image": path.name, "captions": captions, "label": f"class {index % 3}", "split": "train"})
    spec = folder / "photos.jsonl"
    spec.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(spec)


def test_files_keep_their_bytes_and_texts_are_complete(tmp_path: Path):
    spec = photos(tmp_path, 7)
    written = write_shards(spec, tmp_path / "out", ShardLayout(samples_per_shard=3), num_workers=0)
    assert (written.shards, written.samples, written.skipped) == (3, 7, 0)
    assert written.spec == f"shards:{tmp_path}/out/{{00000..00002}}.tar"
    found = members(tmp_path / "out")
    source = open_source(spec)
    for index in range(7):
        key = f"{index // 3:05d}{index % 3:04d}"
        suffix = list(FORMAT_OF)[index % len(FORMAT_OF)]
        assert found.pop(f"{key}.{suffix}") == (tmp_path / source[index].key).read_bytes()
        expected = {"key": source[index].key, "captions": list(source[index].captions)}
        expected |= {"label": f"class {index % 3}", "split": "train"}
        assert json.loads(found.pop(f"{key}.json")) == expected
        if index % 2 == 0:  # one caption
            assert found.pop(f"{key}.txt").decode() == source[index].captions[0]
    assert found == {}


def test_questions_and_images_without_files_are_written_too(tmp_path: Path):
    source = ScenesSource(level="easy", count=3)
    write_shards(source, tmp_path / "out", num_workers=0)
    found = members(tmp_path / "out")
    for index in range(3):
        pixels = np.asarray(Image.open(io.BytesIO(found[f"00000{index:04d}.png"])))
        assert (pixels == np.asarray(source[index].open_image())).all()
        questions = json.loads(found[f"00000{index:04d}.json"])["questions"]
        assert [question["question"] for question in questions] == [one.question for one in source[index].questions]
        assert [question["answer"] for question in questions] == [one.answers[0] for one in source[index].questions]


def test_all_formats_have_a_suffix():
    assert set(FORMATS) <= set(SUFFIXES)


@pytest.mark.parametrize("shuffle", [None, 5])
def test_bytes_do_not_depend_on_workers(tmp_path: Path, shuffle: int | None):
    spec = photos(tmp_path, 20)
    layout = ShardLayout(samples_per_shard=3, shuffle=shuffle)
    write_shards(spec, tmp_path / "one", layout, num_workers=0)
    write_shards(spec, tmp_path / "two", layout, num_workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_shuffled_samples_are_the_same_in_another_order(tmp_path: Path):
    source = open_source(photos(tmp_path, 30))
    for seed in (0, 1):
        layout = ShardLayout(samples_per_shard=7, shuffle=seed)
        write_shards(source, tmp_path / str(seed), layout, num_workers=0)
    write_shards(source, tmp_path / "ordered", ShardLayout(samples_per_shard=7), num_workers=0)
    orders = [[row["key"] for row in rows(tmp_path / name)] for name in ("0", "1", "ordered")]
    assert orders[2] == [source[index].key for index in range(30)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_bytes_per_shard_are_about_kept(tmp_path: Path):
    source = open_source(photos(tmp_path, 60))
    size = sum(packed_bytes(source[index]) for index in range(60))
    written = write_shards(source, tmp_path / "out", ShardLayout(bytes_per_shard=size // 6), num_workers=0)
    assert 6 <= written.shards <= 7
    assert written.bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.tar"))
    few = write_shards(source, tmp_path / "few", ShardLayout(bytes_per_shard=1), num_workers=0)
    assert few.shards == 60


def test_the_manifest_finds_damage(tmp_path: Path):
    write_shards(photos(tmp_path, 6), tmp_path / "out", ShardLayout(samples_per_shard=2), num_workers=0)
    check_manifest(tmp_path / "out", "shards", ())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [entry["samples"] for entry in manifest["files"].values()] == [2, 2, 2]
    assert manifest["made_from"]["source"] == "photos.jsonl"
    path = tmp_path / "out" / "00001.tar"
    damaged = bytearray(path.read_bytes())
    damaged[700] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamageError, match=r"00001.tar differs from its SHA-256"):
        check_manifest(tmp_path / "out", "shards", ())


def test_unreadable_images_are_counted_and_named(tmp_path: Path):
    spec = photos(tmp_path, 20, broken=(7, 11))
    layout = ShardLayout(samples_per_shard=4, shuffle=3)
    with pytest.raises(ValueError, match=r"photo \d+\.\w+ cannot be read .* more than max_skipped_ratio 0 allows"):
        write_shards(spec, tmp_path / "out", layout, num_workers=0)
    assert not (tmp_path / "out" / "manifest.json").exists()
    written = write_shards(spec, tmp_path / "out", layout, num_workers=0, max_skipped_ratio=0.1, resume=True)
    assert (written.shards, written.samples, written.skipped) == (5, 18, 2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines} == {open_source(spec)[index].key for index in (7, 11)}
    assert len({row["key"] for row in rows(tmp_path / "out")}) == 18
    write_shards(spec, tmp_path / "again", layout, num_workers=2, max_skipped_ratio=0.1)
    assert content(tmp_path / "out") == content(tmp_path / "again")
    again = write_shards(spec, tmp_path / "out", layout, num_workers=0, max_skipped_ratio=0.1, resume=True)
    assert again == written


def test_samples_that_the_source_has_left_out_are_listed(tmp_path: Path):
    spec = Path(photos(tmp_path, 4))
    with spec.open("a") as file:
        file.write('{"captions": ["no image"]}\n')
    with pytest.raises(ValueError, match="max_skipped_ratio 0 allows"):
        write_shards(str(spec), tmp_path / "out", num_workers=0)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").glob("*.tar"))
    write_shards(str(spec), tmp_path / "out", num_workers=0, max_skipped_ratio=0.5, overwrite=True)
    (line,) = (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()
    assert json.loads(line)["name"] == skipped_samples(open_source(str(spec)))[0].name


class Interrupted:
    """A source at one sample of which the user presses Ctrl-C."""

    def __init__(self, source: SampleSource, at: int) -> None:
        self.name = source.name
        self._source = source
        self.at = at
        self.is_armed = False

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> ImageTextSample:
        if index == self.at and self.is_armed:
            raise KeyboardInterrupt
        return self._source[index]


def test_an_interrupted_call_leaves_whole_shards_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = open_source(photos(tmp_path, 20))
    layout = ShardLayout(samples_per_shard=3)
    write_shards(source, tmp_path / "whole", layout, num_workers=0)
    interrupted = Interrupted(source, 13)
    monkeypatch.setattr(module, "results_of", _arming(interrupted, module.results_of))
    with pytest.raises(OutputInterrupted, match="has what was done") as caught:
        write_shards(interrupted, tmp_path / "out", layout, num_workers=0)
    assert caught.value.remains.can_resume
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00000.tar", "00001.tar", "00002.tar", "00003.tar", "progress.jsonl"]
    for path in (tmp_path / "out").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    (tmp_path / "out" / ".00004.4242.partial.tar").write_bytes(b"of a killed process")
    (tmp_path / "out" / "00001.tar").write_bytes(b"cut")
    with pytest.raises(OutputError, match="is there already; --resume continues it, --overwrite replaces it"):
        write_shards(source, tmp_path / "out", layout, num_workers=0)
    interrupted.at = -1
    write_shards(interrupted, tmp_path / "out", layout, num_workers=0, resume=True)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    for name in ("00000.tar", "00002.tar", "00003.tar"):
        assert (tmp_path / "out" / name).stat().st_mtime_ns == times[name]


def _arming(source: Interrupted, function):
    def results_of(*arguments, **options):
        source.is_armed = True
        return function(*arguments, **options)

    return results_of


def test_resuming_needs_the_same_data_and_layout(tmp_path: Path):
    spec = photos(tmp_path, 9)
    layout = ShardLayout(samples_per_shard=3)
    out = tmp_path / "out"
    write_shards(spec, out, layout, num_workers=0)
    with pytest.raises(OutputError, match="was begun with samples_per_shard 3, and now it is 4; resume with the same"):
        write_shards(spec, out, ShardLayout(samples_per_shard=4), num_workers=0, resume=True)
    with pytest.raises(OutputError, match="was begun with shuffle None, and now it is 1"):
        write_shards(spec, out, ShardLayout(samples_per_shard=3, shuffle=1), num_workers=0, resume=True)
    with pytest.raises(OutputError, match="was begun with source_samples 9, and now it is 8"):
        write_shards(f"{spec}?limit=8", out, layout, num_workers=0, resume=True)
    lines = Path(spec).read_text().splitlines()
    Path(spec).write_text("\n".join(lines[::-1]) + "\n")
    with pytest.raises(OutputError, match="was begun with source_keys"):
        write_shards(spec, out, layout, num_workers=0, resume=True)
    (out / "manifest.json").unlink()
    with pytest.raises(OutputError, match=r"has shards, but no progress\.jsonl"):
        write_shards(spec, out, layout, num_workers=0, resume=True)


def test_shards_are_replaced_whole_and_nothing_else_is(tmp_path: Path):
    spec, out = photos(tmp_path, 9), tmp_path / "out"
    write_shards(spec, out, ShardLayout(samples_per_shard=1), num_workers=0)
    write_shards(spec, out, ShardLayout(samples_per_shard=5), num_workers=0, overwrite=True)
    assert sorted(content(out)) == ["00000.tar", "00001.tar", "manifest.json"]
    (out / "notes.txt").touch()
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match=r"is not a folder of shards \(notes.txt "):
            write_shards(spec, out, num_workers=0, **options)


def test_a_worker_that_dies_is_an_error_and_the_call_resumes(tmp_path: Path):
    source = open_source(photos(tmp_path, 12))
    layout = ShardLayout(samples_per_shard=2)
    with pytest.raises(
        ChildProcessError, match="a worker process died; perhaps it was killed because memory was short"
    ):
        write_shards(_Deadly(source, os.getpid()), tmp_path / "out", layout, num_workers=2)
    assert not list((tmp_path / "out").glob("manifest.json"))
    write_shards(source, tmp_path / "out", layout, num_workers=2, resume=True)
    write_shards(source, tmp_path / "whole", layout, num_workers=0)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


class _Deadly:
    def __init__(self, source: SampleSource, parent: int) -> None:
        self.name, self._source, self._parent = source.name, source, parent

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> ImageTextSample:
        if index == 7 and os.getpid() != self._parent:
            os._exit(9)
        return self._source[index]


def test_a_layout_is_checked():
    for layout, message in (
        ({"samples_per_shard": 0}, "samples_per_shard must be at least 1, got 0"),
        ({"bytes_per_shard": -1}, "bytes_per_shard must be at least 1"),
        ({"samples_per_shard": 1, "bytes_per_shard": 1}, "give samples_per_shard or bytes_per_shard"),
        ({"shuffle": -1}, "shuffle is a seed of at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ShardLayout(**layout)
    with pytest.raises(ValueError, match="num_workers must be at least 0, got -1"):
        write_shards("scenes:", Path("nowhere"), num_workers=-1)


def test_a_shard_of_unreadable_samples_is_an_empty_tar(tmp_path: Path):
    source = open_source(photos(tmp_path, 4, broken=(0, 1)))
    written = write_shard(tmp_path / "0.tar", [(str(index), source[index]) for index in range(2)])
    assert (written.samples, len(written.skipped)) == (0, 2)
    with tarfile.open(tmp_path / "0.tar") as archive:
        assert archive.getmembers() == []


def test_the_spec_of_one_shard_names_its_file():
    assert ShardFolder(folder=Path("x"), shards=1, samples=1, bytes=1, skipped=0).spec == "shards:x/00000.tar"


def test_shards_read_back_are_the_source(tmp_path: Path):
    for number, source in enumerate((open_source(photos(tmp_path, 11)), ScenesSource(level="easy", count=3))):
        written = write_shards(source, tmp_path / f"out {number}", ShardLayout(samples_per_shard=4), num_workers=0)
        read = open_source(written.spec)
        assert len(read) == len(source)
        for one, other in ((read[index], source[index]) for index in range(len(source))):
            assert (one.captions, one.label, one.split) == (other.captions, other.label, other.split)
            assert one.questions == other.questions
            assert (np.asarray(one.open_image()) == np.asarray(other.open_image())).all()
        again = write_shards(
            written.spec, tmp_path / f"again {number}", ShardLayout(samples_per_shard=4), num_workers=0
        )
        own, others = members(tmp_path / f"out {number}"), members(tmp_path / f"again {number}")
        assert own.keys() == others.keys()
        assert all(own[name] == others[name] for name in own if not name.endswith(".json"))
        assert again.samples == written.samples


def test_a_shard_without_samples_is_read(tmp_path: Path):
    spec = photos(tmp_path, 6, broken=(2, 3))
    layout = ShardLayout(samples_per_shard=2)
    written = write_shards(spec, tmp_path / "out", layout, num_workers=0, max_skipped_ratio=0.5)
    assert (written.shards, written.samples) == (3, 4)
    read = open_source(written.spec)
    assert [read[index].captions for index in range(4)] == [open_source(spec)[i].captions for i in (0, 1, 4, 5)]


def test_shards_are_never_written_over_their_own_source(tmp_path: Path):
    written = write_shards(photos(tmp_path, 4), tmp_path / "out", ShardLayout(samples_per_shard=2), num_workers=0)
    before = content(tmp_path / "out")
    for spec in (written.spec, f"shards:{tmp_path}/out", f"shards:{tmp_path}/out/*.tar", f"{tmp_path}/out/00000.tar"):
        with pytest.raises(OutputError, match="out would replace what it is made from; choose another name"):
            write_shards(spec, tmp_path / "out", num_workers=0, overwrite=True)
    assert content(tmp_path / "out") == before
