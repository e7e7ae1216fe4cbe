import io
from dataclasses import replace

import pytest
from rich.console import Console

from sycoca.experiments.benchmark.result import BenchmarkResult, RowResult
from sycoca.experiments.benchmark.settings import ROWS
from sycoca.experiments.benchmark.table import benchmark_table, readable_number

NUMBERS = {"seconds_min": 1.1, "seconds_max": 1234.0, "gflop": 2469.0, "precision": "fp32"}


def result_of(peaks: dict[str, float], memory: dict[str, int | None], device: str = "cpu") -> BenchmarkResult:
    """Return a result with all rows, with the longest possible numbers."""
    rows = {
        name: RowResult(**{"seconds": 1.2, "items": 150_000, "unit": "captions", **NUMBERS})
        for group in ROWS.values()
        for name in group
    }
    rows["copy_rate"] = RowResult(
        seconds=0.0456, seconds_min=0.04, seconds_max=0.05, items=0.5, unit="GB", gflop=None, precision=None
    )
    return BenchmarkResult(
        machine={
            "processor": "A processor",
            "processors": 2,
            "threads": 1,
            "device": device,
            "device_name": None if device == "cpu" else "A GPU",
            "system": "Linux",
            "torch": "2.13.0+cpu",
            "python": "3.11.7",
            "sycoca": "0.1.0",
        },
        settings={
            "preset": "tiny",
            "parameters": 2_767_361,
            "image_size": 64,
            "batch_size": 16,
            "precision": "fp32",
            "compile": False,
            "runs": 5,
        },
        rows=rows,
        peaks=peaks,
        memory=memory,
    )


MEMORY: dict[str, int | None] = {"model_built_bytes": 334 * 2**20, "train_all_peak_bytes": 462 * 2**20}


def printed(result: BenchmarkResult, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(benchmark_table(result, width), highlight=False)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_every_row_fits_into_its_line(width: int):
    lines = printed(result_of({"fp32": 4000.0}, MEMORY), width)
    for name in (name for group in ROWS.values() for name in group):
        assert len([line for line in lines if line.startswith(f"{name} ")]) == 1
    assert not any("…" in line for line in lines)
    assert all(len(line) <= width for line in lines)


def test_lines_show_the_results():
    lines = printed(result_of({"fp32": 4000.0}, MEMORY), 80)
    assert lines[0] == "A processor, 1 thread of 2 processors"
    assert "preset tiny: 2.77 M parameters, images of 64 pixels" in lines
    assert "batches of 16, fp32; median of 5 runs, in turns" in lines
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line}
    assert found["row"] == "median min to max rate GFLOP/s of peak"
    assert found["train_all"] == "1.20 s 1.10 to 1,234 125,000 captions/s 2,058 51.4 %"
    assert found["copy_rate"] == "45.6 ms 40.0 to 50.0 11.0 GB/s - -"
    assert lines[-1] == "memory of this process: 334 MiB with the model, 462 MiB peak of train_all"


def test_wide_terminals_get_descriptions():
    narrow, wide = (printed(result_of({"fp32": 4000.0}, MEMORY), width) for width in (80, 120))
    for group in ROWS.values():
        for what in group.values():
            assert any(line.endswith(f"  {what}") for line in wide)
            assert not any(line.endswith(what) for line in narrow)


def test_unknown_values_are_left_out():
    lines = printed(result_of({"fp32": 4000.0}, {**MEMORY, "train_all_peak_bytes": None}), 80)
    assert lines[-1] == "memory of this process: 334 MiB with the model"
    lines = printed(result_of({"fp32": 4000.0}, dict.fromkeys(MEMORY)), 80)
    assert not any("memory" in line for line in lines)


def test_gpus_and_half_precision_are_named():
    lines = printed(result_of({"fp32": 4000.0, "bf16": 8000.0}, MEMORY, device="cuda:0"), 80)
    assert lines[0].startswith("A GPU, 1 thread")
    assert lines[-2].startswith("memory on the device: 334 MiB")
    assert lines[-1] == "of peak: retrieval_scoring computes in fp32 and is compared with its peak"


def test_the_mean_step_is_that_of_the_presets_training():
    result = result_of({"fp32": 4000.0}, MEMORY)
    rows = {**result.rows, "train_itc_ic": replace(result.rows["train_all"], seconds=0.4)}
    assert "a training step" not in " ".join(printed(replace(result, rows=rows), 80))
    often = {**result.settings, "masked_image_share": 1.0}
    assert "a training step" not in " ".join(printed(replace(result, rows=rows, settings=often), 80))
    result = replace(result, rows=rows, settings={**often, "masked_image_share": 0.25})
    said = " ".join(printed(result, 80))
    assert "a training step takes 600 ms on average: 25 % are train_all, the others train_itc_ic" in said
    assert result.to_plain()["mean_step_seconds"] == pytest.approx(0.25 * 1.2 + 0.75 * 0.4)
    del rows["train_all"]
    assert replace(result, rows=rows).mean_step_seconds is None


def test_numbers_have_three_digits():
    assert [readable_number(value) for value in (0.123, 1.234, 12.34, 123.4, 12345.6)] == [
        "0.12",
        "1.23",
        "12.3",
        "123",
        "12,346",
    ]
