"""The Hugging Face Hub, played by a stand-in on this machine: what goes out comes back, and errors say what to do."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import sycoca
from builders.golden import GOLDEN
from builders.hub_stand_in import READ_ONLY_TOKEN, TOKEN, HubStandIn, go_offline
from builders.manifests import renew_manifest
from builders.predictors import photos, save_small_weights
from sycoca.outputs.manifest import DamageError, verification
from sycoca.weights.config import FILE_NAMES, FORMAT_VERSION
from sycoca.weights.config_file import read_weights_config
from sycoca.weights.hub import HubRepository, local_weights, pinned_weights, upload
from sycoca.weights.parts import load_parts, save_image_encoder

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's library does not

WHOLE = set(FILE_NAMES) - {"adapter.safetensors"}
"""The files of a whole model."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "weights"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pushed_comes_back(hub: HubStandIn, folder: Path):
    (folder / "notes.txt").write_text("not to be published")
    address = sycoca.push_to_hub(folder, "me/tiny", token=TOKEN)
    repository = hub.repositories["me/tiny"]
    assert address == f"{hub.url}/me/tiny/commit/{repository.head}"
    assert not repository.private
    assert repository.files.keys() - {".gitattributes"} == WHOLE
    here, there = sycoca.load(folder, device="cpu"), sycoca.load("hf:me/tiny", device="cpu")
    expected = here.model.state_dict()
    assert there.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in there.model.state_dict().items())
    assert there.config == here.config
    assert there.caption(photos(2)) == here.caption(photos(2))


def test_repositories_of_earlier_formats_have_no_manifest(hub: HubStandIn, folder: Path):
    hub.add("me/earlier", files_of(GOLDEN / "format-3" / "paper" / "weights"))
    sycoca.load("hf:me/earlier", device="cpu")
    files = files_of(folder)
    del files["manifest.json"]
    hub.add("me/torn", files)
    with pytest.raises(DamageError, match=r"manifest\.json is missing; delete .*models--me--torn, then it is fetched"):
        sycoca.load("hf:me/torn")


def test_damaged_weights_of_the_hub_are_refused_and_fetched_again(hub: HubStandIn, folder: Path):
    hub.add("me/tiny", files_of(folder))
    path = local_weights("hf:me/tiny") / "model.safetensors"
    sound = path.read_bytes()
    path.resolve().write_bytes(sound[:-4] + bytes([sound[-4] ^ 1]) + sound[-3:])
    with pytest.raises(DamageError, match=r"model\.safetensors differs from its SHA-256 .*; delete ") as error:
        sycoca.load("hf:me/tiny")
    (repository,) = re.findall(r"delete (\S+), then", str(error.value))
    shutil.rmtree(repository)
    sycoca.load("hf:me/tiny", device="cpu")


@pytest.mark.usefixtures("hub")
def test_what_is_pushed_leaves_no_manifest_of_other_weights_behind(folder: Path):
    sycoca.push_to_hub(folder, "me/tiny", token=TOKEN)
    sycoca.push_to_hub(GOLDEN / "format-3" / "paper" / "weights", "me/tiny", token=TOKEN)
    assert sycoca.load("hf:me/tiny", device="cpu").config.history == ()


def test_damaged_weights_are_not_pushed(hub: HubStandIn, folder: Path):
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    with verification(False), pytest.raises(DamageError, match=r"tokenizer\.json has 1 bytes too many"):
        sycoca.push_to_hub(folder, "me/tiny", token=TOKEN)
    assert hub.requests == []


def test_what_was_fetched_once_needs_no_network(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch):
    hub.add("me/tiny", files_of(folder))
    first = local_weights("hf:me/tiny")
    hub.requests.clear()
    assert local_weights("hf:me/tiny") == first
    assert hub.fetched_files() == set()
    hub.requests.clear()
    go_offline(monkeypatch)
    assert sycoca.load("hf:me/tiny", device="cpu").config == read_weights_config(folder)
    assert hub.requests == []


def test_only_the_files_of_a_weights_folder_are_fetched(hub: HubStandIn, folder: Path):
    hub.add("me/tiny", files_of(folder) | {"pytorch_model.bin": b"pickle", "photo.jpg": b"large"})
    fetched = local_weights("hf:me/tiny")
    assert {path.name for path in fetched.iterdir()} == WHOLE == hub.fetched_files()


def test_a_revision_is_kept_and_the_newest_is_taken_without_one(hub: HubStandIn, folder: Path):
    repository = hub.add("me/tiny", files_of(folder))
    old = repository.head
    repository.commit({"README.md": b"news"})
    assert (local_weights("hf:me/tiny") / "README.md").read_bytes() == b"news"
    for revision in (old, "main"):
        fetched = local_weights(f"hf:me/tiny@{revision}")
        assert fetched.name == (old if revision == old else repository.head)
    assert (local_weights(f"hf:me/tiny@{old}") / "README.md").read_bytes() == (folder / "README.md").read_bytes()


def test_files_are_of_one_commit_even_if_another_comes_in_between(
    hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = hub.add("me/tiny", files_of(folder))
    monkeypatch.setattr("sycoca.weights.hub._check_kind", lambda *_: repository.commit({"README.md": b"news"}))
    assert files_of(local_weights("hf:me/tiny")) == files_of(folder)


def test_a_pinned_name_means_the_same_commit_forever(hub: HubStandIn, folder: Path):
    repository = hub.add("me/tiny", files_of(folder))
    pinned = pinned_weights("hf:me/tiny")
    assert pinned == f"hf:me/tiny@{repository.head}" == pinned_weights(pinned)
    repository.commit({"README.md": b"news"})
    assert pinned_weights(pinned) == pinned
    assert pinned_weights("runs/tiny/weights") == "runs/tiny/weights"


def test_what_is_fetched_is_said_first(
    hub: HubStandIn, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    hub.add("me/tiny", files_of(folder))
    said = []
    monkeypatch.setattr(
        logging.getLogger("sycoca.weights.hub"),
        "handle",
        lambda record: said.append((record.levelname, record.getMessage(), len(hub.requests))),
    )
    caplog.set_level("DEBUG", "sycoca")
    local_weights("hf:me/tiny@main")
    line = (
        f"fetching hf:me/tiny@main from {hub.url}, unless the cache has it:"
        " config.json, model.safetensors, adapter.safetensors, tokenizer.json, README.md, manifest.json"
    )
    assert said == [("INFO", line, 0)]
    local_weights("hf:me/tiny@main")
    assert [(level, text) for level, text, _ in said] == [("INFO", line), ("DEBUG", line)]


def test_a_path_never_touches_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(folder.parent)
    for path in (folder, str(folder), "weights", Path("weights")):
        assert sycoca.load(path, device="cpu").model.num_parameters > 0
    with pytest.raises(ValueError, match="hf:me/tiny does not exist"):
        sycoca.load(Path("hf:me") / "tiny")


@pytest.mark.parametrize("text", ["hf:", "hf:tiny", "hf:me/tiny/more", "hf:me/tiny@", "hf:me tiny/x"])
def test_refuses_invalid_names(text: str):
    with pytest.raises(
        ValueError, match=r"is not a repository on the Hugging Face Hub; write hf:owner/name\[@revision\]"
    ):
        local_weights(text)


def test_names_are_written_as_they_are_read():
    for text in ("hf:me/tiny-2.0", "hf:me/tiny@refs/pr/1"):
        assert str(HubRepository.parse(text)) == text


def only_line_of(error: pytest.ExceptionInfo[Exception]) -> str:
    said = str(error.value)
    assert "\n" not in said
    return said


def test_says_that_there_is_no_such_repository(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="does not exist") as error:
        local_weights("hf:me/nothing")
    assert only_line_of(error) == (
        f"{hub.url}/me/nothing does not exist, or is hidden from users without a token; check the name, or log in"
        " (hf auth login) or set HF_TOKEN"
    )
    monkeypatch.setenv("HF_TOKEN", READ_ONLY_TOKEN)
    with pytest.raises(ValueError, match="does not exist, or is hidden from the token in use; check the name"):
        local_weights("hf:me/nothing")


def test_private_weights_need_a_token(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch):
    hub.add("me/secret", files_of(folder), private=True)
    with pytest.raises(ValueError, match="me/secret does not exist, or is hidden from users without a token"):
        local_weights("hf:me/secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert sycoca.load("hf:me/secret", device="cpu").model.num_parameters > 0


def test_gated_weights_need_their_terms_accepted(hub: HubStandIn, folder: Path):
    hub.add("me/gated", files_of(folder), gated=True)
    with pytest.raises(ValueError, match="agree to its terms") as error:
        local_weights("hf:me/gated")
    assert only_line_of(error).startswith(
        f"hf:me/gated is a gated repository: agree to its terms at {hub.url}/me/gated, and log in"
    )


def test_says_that_there_is_no_such_revision(hub: HubStandIn, folder: Path):
    hub.add("me/tiny", files_of(folder))
    with pytest.raises(ValueError, match="no revision") as error:
        local_weights("hf:me/tiny@v9")
    assert only_line_of(error) == f"{hub.url}/me/tiny has no revision 'v9'; name a branch, a tag or a commit"


@pytest.mark.usefixtures("hub")
def test_says_that_the_hub_cannot_be_reached(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="does not answer") as error:
        local_weights("hf:me/tiny")
    said = only_line_of(error)
    assert said.startswith("fetching hf:me/tiny failed, http://127.0.0.1:9 does not answer as expected: ")
    assert said.endswith("; a copied folder can be named by its path")
    with pytest.raises(ConnectionError, match=r"publishing hf:me/tiny failed, http://127.0.0.1:9 does not") as error:
        upload_nothing(TOKEN)
    only_line_of(error)


def test_says_that_the_hub_does_not_answer_as_expected(hub: HubStandIn, folder: Path):
    hub.add("me/tiny", files_of(folder))
    hub.broken = "revision"
    with pytest.raises(ConnectionError, match=r"does not answer as expected: .*503") as error:
        local_weights("hf:me/tiny")
    only_line_of(error)


def test_says_that_publishing_was_interrupted(hub: HubStandIn, folder: Path):
    hub.broken = "storage"
    with pytest.raises(ConnectionError, match=r"publishing hf:me/tiny failed, .* does not answer as expected: .*403"):
        sycoca.push_to_hub(folder, "me/tiny", token=TOKEN)


def test_says_that_offline_mode_is_enabled(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch):
    go_offline(monkeypatch)
    with pytest.raises(ConnectionError, match="offline mode is enabled"):
        local_weights("hf:me/tiny")
    with pytest.raises(ConnectionError, match=r"publishing hf:me/tiny failed, .* offline mode is enabled"):
        upload_nothing(TOKEN)
    assert hub.requests == []


def upload_nothing(token: str) -> None:
    upload(Path("nowhere"), FILE_NAMES, "me/tiny", private=False, message="nothing", token=token)


OPEN_CLIP = {"open_clip_config.json": b"{}", "open_clip_model.safetensors": b"", "tokenizer.json": b"{}"}
TRANSFORMERS = {"config.json": b'{"model_type": "clip"}', "model.safetensors": b"large", "tokenizer.json": b"{}"}


@pytest.mark.parametrize("files", [OPEN_CLIP, OPEN_CLIP | TRANSFORMERS])
def test_a_checkpoint_of_open_clip_is_named_and_not_fetched(hub: HubStandIn, files: dict[str, bytes]):
    hub.add("laion/coca", files)
    with pytest.raises(ValueError, match="open_clip") as error:
        local_weights("hf:laion/coca")
    assert only_line_of(error) == (
        "hf:laion/coca is a checkpoint of open_clip: download it with hf download laion/coca, then convert it with"
        " sycoca convert from-open-clip"
    )
    assert hub.fetched_files() <= {"config.json", "open_clip_config.json"}


@pytest.mark.parametrize("files", [TRANSFORMERS, {"data.csv": b"a,b"}])
def test_other_repositories_are_not_fetched(hub: HubStandIn, files: dict[str, bytes]):
    hub.add("openai/clip", files)
    with pytest.raises(ValueError, match="is not a weights folder") as error:
        local_weights("hf:openai/clip")
    assert only_line_of(error).startswith(
        "hf:openai/clip is not a weights folder: it has no config.json with a format_"
    )
    assert hub.fetched_files() <= {"config.json"}


def test_weights_of_a_newer_version_are_not_fetched(hub: HubStandIn, folder: Path):
    newer = json.dumps({"format_version": FORMAT_VERSION + 1}).encode()
    hub.add("me/newer", files_of(folder) | {"config.json": newer})
    with pytest.raises(ValueError, match=f"format_version {FORMAT_VERSION + 1}, this version of sycoca reads up to"):
        local_weights("hf:me/newer")
    assert hub.fetched_files() == {"config.json"}


def test_a_private_repository_stays_with_its_owner(hub: HubStandIn, folder: Path):
    sycoca.push_to_hub(folder, "hf:me/secret", private=True, commit_message="Hush", token=TOKEN)
    assert hub.repositories["me/secret"].private
    sycoca.push_to_hub(folder, "me/secret", private=True, token=TOKEN)
    with pytest.raises(ValueError, match="does not exist, or is hidden"):
        local_weights("hf:me/secret")


def test_private_weights_never_become_public(hub: HubStandIn, folder: Path):
    hub.add("me/open", {"README.md": b"all may read"})
    with pytest.raises(ValueError, match="hf:me/open already exists and is public; make it private"):
        sycoca.push_to_hub(folder, "me/open", private=True, token=TOKEN)
    assert hub.repositories["me/open"].files == {"README.md": b"all may read"}


@pytest.mark.usefixtures("hub")
def test_an_image_encoder_alone_can_be_pushed(folder: Path, tmp_path: Path):
    whole = load_parts(folder)
    own = {name.split(".", 1)[1]: tensor for name, tensor in whole.tensors.items() if name.startswith("image_encoder.")}
    save_image_encoder(tmp_path / "encoder", whole.config.image_encoder, own, whole.config.transforms)
    sycoca.push_to_hub(tmp_path / "encoder", "me/encoder", token=TOKEN)
    fetched = load_parts(local_weights("hf:me/encoder"))
    assert fetched.config.weights is None
    assert fetched.tensors.keys() == {f"image_encoder.{name}" for name in own}
    assert all(torch.equal(tensor, whole.tensors[name]) for name, tensor in fetched.tensors.items())


def test_invalid_weights_are_not_pushed(hub: HubStandIn, folder: Path):
    tensors = load_file(folder / "model.safetensors")
    tensors["log_logit_scale"].fill_(torch.nan)
    save_file(tensors, folder / "model.safetensors")
    renew_manifest(folder)
    with pytest.raises(ValueError, match="1 of the 1 values of log_logit_scale are not finite"):
        sycoca.push_to_hub(folder, "me/tiny", token=TOKEN)
    assert hub.requests == []


def test_nothing_is_pushed_without_a_token_or_a_name(hub: HubStandIn, folder: Path):
    with pytest.raises(ValueError, match=r"publishing hf:me/tiny needs a token of the Hugging Face Hub: log in"):
        sycoca.push_to_hub(folder, "me/tiny")
    with pytest.raises(ValueError, match="is not a repository on the Hugging Face Hub"):
        sycoca.push_to_hub(folder, "tiny", token=TOKEN)
    with pytest.raises(ValueError, match="published on a repository's main branch; leave out the revision"):
        sycoca.push_to_hub(folder, "me/tiny@v2", token=TOKEN)
    assert hub.requests == []


@pytest.mark.parametrize(("token", "status"), [(READ_ONLY_TOKEN, "403"), ("hf_forged", "401")])
def test_says_that_a_token_may_not_write(hub: HubStandIn, token: str, status: str):
    with pytest.raises(ValueError, match=f"me/tiny refuses the token in use: .*{status}") as error:
        upload_nothing(token)
    assert only_line_of(error).endswith("; log in (hf auth login) or set HF_TOKEN")
    assert hub.repositories == {}


@pytest.mark.usefixtures("hub")
def test_a_card_that_the_hub_refuses_is_named(folder: Path):
    (folder / "README.md").write_text("My own words.")
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        sycoca.push_to_hub(folder, "me/tiny", token=TOKEN)


def test_the_hub_is_that_of_the_environment_and_a_path_does_not_even_import_its_library(
    hub: HubStandIn, folder: Path, tmp_path: Path
):
    hub.add("me/tiny", files_of(folder))
    image = tmp_path / "a.png"
    photos(1)[0].save(image)
    code = (
        "import sys, sycoca\n"
        "from sycoca.cli.main import main\n"
        f"sycoca.load({str(folder)!r})\n"
        "assert 'huggingface_hub' not in sys.modules, 'huggingface_hub'\n"
        f"sys.exit(main(['caption', 'hf:me/tiny', {str(image)!r}, '--device', 'cpu']))\n"
    )
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=True)
    assert run.stdout == f"{image}: {sycoca.load(folder, device='cpu').caption([image])[0]}\n"
    assert f"fetching hf:me/tiny from {hub.url}" in run.stderr
