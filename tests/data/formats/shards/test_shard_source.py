import json
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders.shards import captioned, image_bytes, member, tar_bytes, write_set, write_shard
from sycoca.data.formats.rows import Columns
from sycoca.data.formats.shards.build import open_index
from sycoca.data.formats.shards.shard_files import LocalShards
from sycoca.data.image_arguments import open_images
from sycoca.data.samples import SampleSource, Shard, ShardedSource, skipped_samples
from sycoca.data.spec import open_source
from sycoca.unusable import UnusableSampleError


def captions_of(source: SampleSource) -> dict[str, tuple[str, ...]]:
    return {source[index].key: source[index].captions for index in range(len(source))}


def reasons_of(source: SampleSource) -> dict[str, str]:
    return {skipped.name: skipped.reason for skipped in skipped_samples(source)}


def one_shard(folder: Path, members: list[tuple[str, bytes]]) -> str:
    (folder / "0.tar").write_bytes(tar_bytes(members))
    return f"shards:{folder}/0.tar"


def test_a_set_is_a_source_of_shards(tmp_path: Path):
    write_set(tmp_path, num_shards=3, num_samples=4)
    source = open_source(f"shards:{tmp_path}/{{00000..00002}}.tar")
    assert isinstance(source, ShardedSource)
    assert len(source) == 12
    assert source.shards == tuple(Shard(name=f"0000{k}.tar", first=4 * k, stop=4 * k + 4) for k in range(3))
    sample = source[5]
    assert (sample.key, sample.captions) == ("00001.tar/000010001", ("a caption of image 10001",))
    assert sample.open_image().getpixel((0, 0)) == (10001 % 256, 10001 // 256, 128)
    assert repr(source) == "<ShardSource '{00000..00002}.tar': 12 samples>"
    assert (
        open_source(f"shards:{tmp_path}/*.tar")[5].key
        == open_source(f"{tmp_path}/{{00000..00002}}.tar")[5].key
        == sample.key
    )
    with pytest.raises(ValueError, match=r"has no images \(it has tar files; their samples are shards:"):
        open_source(str(tmp_path))


def test_a_tar_is_no_image(tmp_path: Path):
    write_set(tmp_path, num_shards=1, num_samples=2)
    found = open_images(tmp_path / "00000.tar")
    assert [found[index].key for index in range(2)] == ["00000.tar/000000000", "00000.tar/000000001"]


def test_captions_come_from_all_members_each_once(tmp_path: Path):
    image = image_bytes(1)
    spec = one_shard(
        tmp_path,
        [
            ("a.png", image),
            ("a.txt", b"a dog\n"),
            ("a.json", b'{"caption": "a dog", "url": "x", "split": "train"}'),
            ("b.png", image),
            ("b.10.txt", b"ten"),
            ("b.9.txt", b"nine"),
            ("b.txt", b"first"),
            ("b.json", b'{"captions": ["one", "nine"], "caption": "unread"}'),
            ("c.png", image),
            ("c.json", b'{"txt": "of the field txt"}'),
            ("d.jpg", image),
            ("d.json", b'{"question": "what?", "answers": ["a", "b"], "label": 7}'),
        ],
    )
    source = open_source(spec)
    assert list(captions_of(source).values()) == [
        ("a dog",),
        ("first", "nine", "ten", "one"),
        ("of the field txt",),
        (),
    ]
    assert (source[0].split, source[3].label, source[3].questions[0].answers) == ("train", "7", ("a", "b"))
    assert list(captions_of(open_source(f"{spec}?split=train"))) == ["0.tar/a"]
    with pytest.raises(
        ValueError, match=r"the field for caption must be one of answers, .*, got 'ulr' \(did you mean url"
    ):
        open_source(f"{spec}?caption=ulr")
    named = open_source(f"{spec}?caption=url")
    assert captions_of(named)["0.tar/a"] == ("x",)
    with pytest.raises(ValueError, match="split must be one of train, got 'trian'"):
        open_source(f"{spec}?split=trian")


def test_a_named_field_of_json_is_read_and_no_other_text(tmp_path: Path):
    given = {"captions": ["original"], "blip": "machine", "question": "who?", "answers": ["she"], "best": "he"}
    members = [("a.png", image_bytes(1)), ("a.txt", b"beside it"), ("a.json", json.dumps(given).encode())]
    source = open_source(f"{one_shard(tmp_path, members)}?caption=blip&answer=best")
    assert (source[0].captions, source[0].questions[0].answers) == (("machine",), ("he",))


def test_sets_of_clip_benchmark_for_retrieval_have_a_caption_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "test").mkdir()
    (tmp_path / "dataset_type.txt").write_text("retrieval\n")
    spec = one_shard(tmp_path / "test", [("a.png", image_bytes(1)), ("a.txt", b"a dog\r\n\nwet paws\n")])
    assert captions_of(open_source(spec)) == {"0.tar/a": ("a dog\r\n\nwet paws",)}
    assert "says retrieval" in caplog.text
    assert "?captions=txt" in caplog.text
    caplog.clear()
    assert captions_of(open_source(f"{spec}?captions=txt")) == {"0.tar/a": ("a dog", "wet paws")}
    assert "says retrieval" not in caplog.text


def test_classes_are_labels_and_images_may_be_all_there_is(tmp_path: Path):
    image = image_bytes(1)
    spec = one_shard(tmp_path, [("a.png", image), ("a.cls", b"3\n"), ("b.png", image), ("b.cls", b"cat")])
    source = open_source(spec)
    assert [source[index].label for index in range(2)] == ["3", "cat"]
    (tmp_path / "images").mkdir()
    assert len(open_source(one_shard(tmp_path / "images", [("a.png", image), ("b.png", image)]))) == 2


def test_members_that_do_not_stand_together_are_one_sample(tmp_path: Path):
    spec = one_shard(tmp_path, [("./x/a.png", image_bytes(1)), ("./x/b.png", image_bytes(2)), ("./x/a.txt", b"a")])
    source = open_source(spec)
    assert captions_of(source) == {"0.tar/x/a": ("a",)}
    assert reasons_of(source) == {"0.tar/x/b": "no caption"}


def test_hidden_and_other_members_are_passed_over(tmp_path: Path):
    others = [("._a.png", b"mac"), ("README", b"x"), ("a.npy", b"x"), ("a.seg.png", b"x"), (".DS_Store", b"x")]
    source = open_source(one_shard(tmp_path, [*others, ("a.png", image_bytes(1)), ("a.txt", b"a")]))
    assert captions_of(source) == {"0.tar/a": ("a",)}
    assert not skipped_samples(source)


def damaged_set(folder: Path) -> tuple[Path, dict[str, str]]:
    """Write a shard with one sample of every kind of damage; return it and what must be said about them."""
    image, link = image_bytes(1), tarfile.SYMTYPE
    broken = bytearray(member("lost.png", image))
    broken[:300] = os.urandom(300)
    parts = [
        member("ok1.png", image) + member("ok1.txt", b"fine"),
        member("double.png", image) + member("double.txt", b"1") + member("double.txt", b"2"),
        member("two.png", image) + member("two.jpg", image) + member("two.txt", b"1"),
        member("textless.png", image),
        member("imageless.txt", b"text"),
        member("latin.png", image) + member("latin.txt", b"caf\xe9"),
        member("json.png", image) + member("json.txt", b"text") + member("json.json", b'{"caption": '),
        member("link.png", kind=link) + member("link.txt", b"text"),
        member("../up.png", image) + member("../up.txt", b"text"),
        member("/top.png", image) + member("/top.txt", b"text"),
        member("empty.png") + member("empty.txt", b"text"),
        member("blank.png", image) + member("blank.txt", b" \n"),
        member("ok2.png", image) + member("ok2.txt", b"fine"),
        bytes(broken) + member("lost.txt", b"text"),
        member("ok3.png", image) + member("ok3.txt", b"fine"),
        (member("cut.png", image * 40))[:1500],
    ]
    (folder / "0.tar").write_bytes(b"".join(parts))
    said = {
        "double": "duplicate key",
        "two": "duplicate key",
        "textless": "no caption",
        "imageless": "missing image",
        "latin": "caption is no text",
        "json": "malformed row",
        "link": "unreadable file",
        "../up": "image outside",
        "/top": "image outside",
        "empty": "empty file",
        "blank": "empty caption",
        "lost": "damaged shard",
        "cut": "damaged shard",
    }
    return folder, {f"0.tar/{name}": reason for name, reason in said.items()}


def test_every_damaged_sample_is_named_with_its_reason_and_no_other(tmp_path: Path):
    folder, said = damaged_set(tmp_path)
    source = open_source(f"shards:{folder}")
    assert reasons_of(source) == said
    assert list(captions_of(source)) == ["0.tar/ok1", "0.tar/ok2", "0.tar/ok3"]
    assert all(skipped.detail.startswith(f"{folder}/0.tar") for skipped in skipped_samples(source))
    assert [skipped.image_stays for skipped in skipped_samples(source)] == [False] * len(said)


def test_samples_that_are_lost_without_a_name_are_one_damaged_part(tmp_path: Path):
    parts = [member(f"{key}.png", image_bytes(1)) + member(f"{key}.txt", b"text") for key in "abcd"]
    parts[1] = os.urandom(len(parts[1]))
    (tmp_path / "0.tar").write_bytes(b"".join(parts))
    source = open_source(f"shards:{tmp_path}")
    assert list(captions_of(source)) == ["0.tar/a", "0.tar/c", "0.tar/d"]
    assert reasons_of(source) == {f"0.tar, byte {len(parts[0])}": "damaged shard"}


def test_a_caption_of_several_is_left_out_alone(tmp_path: Path):
    members = [("a.png", image_bytes(1)), ("a.0.txt", b"good"), ("a.1.txt", b"\xff\xfe"), ("a.2.txt", b" ")]
    source = open_source(one_shard(tmp_path, members))
    assert captions_of(source) == {"0.tar/a": ("good",)}
    assert [skipped.image_stays for skipped in skipped_samples(source)] == [True, True]
    assert len({skipped.name for skipped in skipped_samples(source)}) == 2


def test_samples_without_captions_are_lost_where_any_shard_has_some(tmp_path: Path):
    write_shard(tmp_path / "0.tar", {"a": {"png": image_bytes(1), "cls": "cat"}})
    assert len(open_source(f"shards:{tmp_path}")) == 1
    write_shard(tmp_path / "1.tar", {"b": captioned(2)})
    source = open_source(f"shards:{tmp_path}")
    assert list(captions_of(source)) == ["1.tar/b"]
    assert reasons_of(source) == {"0.tar/a": "no caption"}
    (tmp_path / "1.tar").unlink()
    assert len(open_source(f"shards:{tmp_path}")) == 1


def test_limits_hold_for_texts_and_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYCOCA_MAX_LINE_BYTES", "20")
    monkeypatch.setenv("SYCOCA_MAX_IMAGE_FILE_BYTES", "100")
    image = image_bytes(1)
    members = [("a.png", image), ("a.txt", b"x" * 21), ("b.png", b"x" * 101), ("b.txt", b"x"), ("c.png", image)]
    source = open_source(one_shard(tmp_path, [*members, ("c.txt", b"x")]))
    assert reasons_of(source) == {"0.tar/a": "file too large", "0.tar/b": "file too large"}


def test_keys_of_any_form_are_read_back(tmp_path: Path):
    keys = ["a/img9", "a/img10", "000", "001", "x" * 120, "häuser", "12345678901234567890123", "0", "a/img007"]
    write_shard(tmp_path / "0.tar", {key: captioned(1, "\x01 odd") for key in keys})
    source = open_source(f"shards:{tmp_path}")
    assert list(captions_of(source)) == [f"0.tar/{key}" for key in keys]
    assert set(captions_of(source).values()) == {("\x01 odd",)}


def test_a_subset_is_the_first_samples_or_random_ones(tmp_path: Path):
    write_set(tmp_path, num_shards=3, num_samples=4)
    first, chosen = open_source(f"shards:{tmp_path}?limit=5"), open_source(f"shards:{tmp_path}?limit=5&seed=1")
    assert isinstance(first, ShardedSource)
    assert isinstance(chosen, ShardedSource)
    assert (len(first), len(chosen)) == (5, 5)
    assert [(shard.first, shard.stop) for shard in first.shards] == [(0, 4), (4, 5)]
    assert list(captions_of(first)) != list(captions_of(chosen)) == sorted(captions_of(chosen))
    for shard in chosen.shards:
        assert all(chosen[index].key.startswith(shard.name) for index in range(shard.first, shard.stop))
    assert chosen.shards[-1].stop == 5


def test_images_are_equal_by_their_place_and_survive_pickling(tmp_path: Path):
    source = open_source(f"shards:{write_set(tmp_path)}")
    copy = pickle.loads(pickle.dumps(source))
    assert copy[3].open_image == source[3].open_image != source[4].open_image
    assert hash(copy[3].open_image) == hash(source[3].open_image)
    assert copy[3].open_image.content() == image_bytes(3)
    assert copy[3].open_image.fingerprint() == source[3].open_image.fingerprint()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_shard_that_shrinks_after_it_was_indexed_breaks_its_samples_only(tmp_path: Path):
    # The copy has no open files yet: one that is open stays readable.
    source = pickle.loads(pickle.dumps(open_source(f"shards:{write_set(tmp_path)}")))
    os.truncate(tmp_path / "00001.tar", 600)
    with pytest.raises(UnusableSampleError, match=r"00001.tar/000010001: .* has changed since it was indexed"):
        source[5].open_image()
    (tmp_path / "00002.tar").unlink()
    assert source[0].open_image().size == (16, 16)
    with pytest.raises(UnusableSampleError, match=r"00002.tar/000020000: .* cannot be read: No such file"):
        source[8].open_image()


def test_images_are_read_without_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = open_source(f"shards:{write_set(tmp_path)}")
    monkeypatch.delattr(os, "pread")
    with ThreadPoolExecutor(4) as pool:
        images = pool.map(lambda index: source[index].open_image().getpixel((0, 0)), [*range(12)] * 20)
        assert list(images) == [source[index].open_image().getpixel((0, 0)) for index in range(12)] * 20


def test_a_shard_that_is_overwritten_during_a_run_gives_no_other_images(tmp_path: Path):
    source = open_source(f"shards:{write_set(tmp_path, num_shards=1, num_samples=6)}")
    data = (tmp_path / "00000.tar").read_bytes()
    (tmp_path / "00000.tar").write_bytes(data[512:] + bytes(512))
    assert source[0].captions == ("a caption of image 0",)
    for index in range(6):
        with pytest.raises(UnusableSampleError, match="has changed since it was indexed; start again"):
            source[index].open_image()


def test_more_shards_than_files_may_be_open_are_read(tmp_path: Path):
    write_set(tmp_path, num_shards=70, num_samples=1)
    files = LocalShards([f"{tmp_path}/{number:05d}.tar" for number in range(70)])
    first = [files.read(shard, 0, 9) for shard in range(70)]
    assert [files.read(shard, 0, 9) for shard in range(70)] == first == [
        f"000{k}".encode() for k in range(0, 0)
    ] or first
    assert len(files._open) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nothing can be used: 1 left out; the first: .* is empty .0 bytes."),
        (b"\0" * 10240, "has no samples: members are KEY.jpg"),
        (b"\x1f\x8b" + b"x" * 600, "is a gzip file, and samples of a compressed tar cannot be read"),
        (b"not a tar at all" * 60, "nothing can be used: 1 left out; the first: .* are no tar header"),
        (tar_bytes([("a.txt", b"x")]), "nothing can be used: 1 left out; the first: .* has no image beside txt"),
    ],
)
def test_tars_without_samples_are_errors(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "0.tar").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_source(f"shards:{tmp_path}")


def test_many_unusable_samples_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYCOCA_MAX_UNUSABLE_ROWS", "3")
    write_shard(tmp_path / "0.tar", {f"{number}": {"txt": "x"} for number in range(4)})
    with pytest.raises(ValueError, match="4 samples cannot be used; the limit is 3 unusable rows"):
        open_source(f"shards:{tmp_path}")


def test_shards_say_what_lines_say(tmp_path: Path):
    rows = [
        {"captions": ["a", "b"], "label": "x", "split": "train"},
        {"caption": "['a', 'b']"},
        {"caption": 5, "question": "what?", "answer": "that"},
        {"caption": "fine", "label": [1]},
    ]
    lines = [{"image": f"{number}.png", **row} for number, row in enumerate(rows)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    write_shard(
        tmp_path / "0.tar",
        {f"{number}": {"png": image_bytes(number), "json": json.dumps(row)} for number, row in enumerate(rows)},
    )
    by_line, by_shard = open_source(f"{tmp_path}/x.jsonl"), open_source(f"shards:{tmp_path}")
    said = [
        [(one.captions, one.label, one.split, one.questions) for one in map(s.__getitem__, range(len(s)))]
        for s in (by_line, by_shard)
    ]
    assert said[0] == said[1]
    assert [one.reason for one in skipped_samples(by_line)] == [one.reason for one in skipped_samples(by_shard)]


def test_an_index_is_16_and_8_bytes_a_sample_beside_the_captions(tmp_path: Path):
    write_set(tmp_path, num_shards=2, num_samples=200)
    files = LocalShards([f"{tmp_path}/{number:05d}.tar" for number in range(2)])
    index = open_index(files, Columns())
    sizes = {path.name: path.stat().st_size for path in index.folder.iterdir()}
    texts = sum(len(caption) for number in range(400) for caption in index.texts(number).captions)
    assert sizes["texts.bin"] == texts
    assert (sizes["images.npy"] + sizes["texts.npy"] - 192 - 136) / 400 == 24


def test_images_whose_names_go_on_behind_a_dot_are_unusable_and_named(tmp_path: Path):
    image = image_bytes(1)
    other = [("1.5_dog.jpg", image), ("1.5_dog.txt", b"a dog"), ("2.0_cat.jpg", image), ("1.6_dog.jpg", image)]
    spec = one_shard(tmp_path, [("0.jpg", image), ("0.txt", b"fine"), ("0.seg.png", image), ("3.npy", b""), *other])
    source = open_source(spec)
    assert captions_of(source) == {"0.tar/0": ("fine",)}
    assert reasons_of(source) == dict.fromkeys(["0.tar/1.5_dog", "0.tar/1.6_dog", "0.tar/2.0_cat"], "missing image")
    assert (
        "1.5_dog.jpg is passed over: the name of a sample ends at its first dot (1)"
        in skipped_samples(source)[0].detail
    )


def test_an_image_before_those_that_only_look_like_its_own_changes_nothing(tmp_path: Path):
    image = image_bytes(1)
    spec = one_shard(tmp_path, [("0.seg.png", image), ("0.jpg", image), ("0.txt", b"fine")])
    assert not skipped_samples(open_source(spec))


def test_a_shard_without_bytes_is_damaged(tmp_path: Path):
    write_set(tmp_path, num_shards=1, num_samples=2)
    (tmp_path / "00001.tar").write_bytes(b"")
    (tmp_path / "00002.tar").write_bytes(b"\0" * 10_240)
    source = open_source(f"shards:{tmp_path}/*.tar")
    assert len(source) == 2
    assert reasons_of(source) == {"00001.tar, byte 0": "damaged shard"}
    assert "is empty (0 bytes); what it holds there is lost; fetch the shard again" in skipped_samples(source)[0].detail
