"""The packages that SyCoCa uses, as pyproject.toml requires them, and what each optional part is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ExtraName = Literal["captions", "datasets", "docs", "export", "probe", "ray", "remote", "search", "serve", "wandb"]
"""An optional part for users, installed by ``pip install "sycoca[NAME]"``."""

Packages = Mapping[str, str]
"""Names of distributions with the oldest version that is supported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtraFacts:
    """An optional part."""

    use: str
    """What it is for."""

    packages: Packages


CORE_PACKAGES: Packages = {
    "torch": "2.11.0",
    "numpy": "1.26.0",
    "pillow": "10.1.0",
    "safetensors": "0.4.0",
    "tokenizers": "0.20.0",
    "ftfy": "6.3.0",
    "huggingface_hub": "0.26.0",
    "tyro": "1.0.6",
    "pyyaml": "6.0",
    "rich": "13.1.0",
    "matplotlib": "3.8.0",
    "jinja2": "3.1.0",
    "tensorboard": "2.16.2",
    "jaxtyping": "0.3.6",
}
"""What SyCoCa never runs without."""

EXTRAS: Mapping[ExtraName, ExtraFacts] = {
    "captions": ExtraFacts(use="METEOR, which needs Java too", packages={"pycocoevalcap": "1.2"}),
    "datasets": ExtraFacts(
        use="data sets of the Hugging Face Hub, Parquet files", packages={"datasets": "3.0.0", "pyarrow": "16.0.0"}
    ),
    "docs": ExtraFacts(use="make docs", packages={"sphinx": "8.0.0", "myst-parser": "4.0.0", "furo": "2024.8.6"}),
    "export": ExtraFacts(
        use="sycoca export",
        packages={"onnx": "1.18.0", "onnx-ir": "0.2.0", "onnxscript": "0.6.2", "onnxruntime": "1.23.0"},
    ),
    "probe": ExtraFacts(use="sycoca evaluate probe, the map of a data set", packages={"scikit-learn": "1.4.0"}),
    "ray": ExtraFacts(use="sycoca map --engine ray", packages={"ray": "2.40.0"}),
    "remote": ExtraFacts(use="shards at web addresses", packages={"fsspec": "2024.6.1", "aiohttp": "3.10.0"}),
    "search": ExtraFacts(use="sycoca index, sycoca search", packages={"lancedb": "0.25.3"}),
    "serve": ExtraFacts(
        use="sycoca serve",
        packages={"fastapi": "0.115.8", "uvicorn": "0.30.0", "python-multipart": "0.0.27", "starlette": "0.44.0"},
    ),
    "wandb": ExtraFacts(use="training.wandb", packages={"wandb": "0.17.0"}),
}
"""All optional parts."""
