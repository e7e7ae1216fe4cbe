import tracemalloc
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sycoca.weights.tensors.stream import stream_order, write_tensor_stream

TENSORS = {
    "b.weight": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor([0.5, -1.0], dtype=torch.bfloat16),
    "größe": torch.arange(3, dtype=torch.float64),
    "c": torch.zeros(0, 4),
    "aa": torch.tensor([7.0]),
    "half": torch.ones(3, dtype=torch.float16).as_strided((2, 2), (1, 1)),
}


def test_the_file_is_that_of_the_safetensors_library_to_the_last_bit(tmp_path: Path):
    kept = {name: tensor for name, tensor in TENSORS.items() if name != "half"}
    save_file(kept, tmp_path / "theirs", metadata={"format": "pt"})
    write_tensor_stream(tmp_path / "ours", kept, kept.__getitem__)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    write_tensor_stream(tmp_path / "all", TENSORS, TENSORS.__getitem__)
    torch.testing.assert_close(load_file(tmp_path / "all"), TENSORS, rtol=0, atol=0)


def test_tensors_are_read_one_by_one_in_the_order_of_the_file(tmp_path: Path):
    like = {f"{number:02d}": torch.empty(256, 1024, device="meta") for number in reversed(range(20))}
    asked: list[str] = []

    def read(name: str) -> torch.Tensor:
        asked.append(name)
        return torch.full((256, 1024), float(name))

    tracemalloc.start()
    write_tensor_stream(tmp_path / "file", like, read)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert asked == stream_order(like) == sorted(like)
    assert peak < 2**20  # tensors are not Python's, so this is what the file costs beside one of them
    assert all((tensor == float(name)).all() for name, tensor in load_file(tmp_path / "file").items())
