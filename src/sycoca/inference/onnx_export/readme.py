"""The README.md of an exported model."""

import re
from collections.abc import Sequence

from sycoca._version import __version__
from sycoca.inference.onnx_export.graphs import CAPTION_STEP, Graph, Port
from sycoca.inference.onnx_export.tensors import TENSORS_NAME
from sycoca.inference.onnx_export.translation import OPSET_VERSION


def readme(graphs: Sequence[Graph], cautions: Sequence[str] = (), *, int8: bool = False) -> str:
    """Return as Markdown what each file is, takes and gives, how to use them, and what not to rely on."""
    limits = "".join(f"\n- {caution}" for caution in cautions)
    limits = f"## Limits\n{limits}\n\n" if limits else ""
    precision = "matrices in int8, all else in float32" if int8 else "float32"
    described = "\n\n".join(map(_described, graphs))
    return f"""# A model of images and texts in ONNX

Exported by `sycoca` {__version__} (opset {OPSET_VERSION}, {precision}). Neither sycoca nor PyTorch is needed to use it.

| file | what it is |
| --- | --- |
| `*.onnx` | the graphs below; their tensors lie in `{TENSORS_NAME}`, which must stay beside them |
| `tokenizer.json` | of the `tokenizers` package |
| `config.json` | sizes, how pixels and texts are prepared, ids of special tokens, names of inputs and outputs |
| `sycoca_onnx.py` | a script, or a module, that uses all this |

## Use

```sh
pip install numpy pillow tokenizers onnxruntime
{_commands(graphs)}
```

```python
from sycoca_onnx import Model

model = Model("this/folder")
model.embed_images(["photo.jpg"]) @ model.embed_texts(["a dog", "a cat"]).T  # cosines
```

`sycoca_onnx.py` shows every step that another language needs: pictures upright in RGB, the central square
(`"resize": "crop"`) or all of the picture (`"squash"`) resized to `image_size` by bicubic interpolation, scaled to 0
to 1, `mean` subtracted, divided by `std`; texts as token ids between `bos_id` and `eos_id`, at most `context_length`
with both.

{limits}## Graphs

Axes with a name may have any length, the same wherever the name occurs in a graph.

{described}
"""


def _commands(graphs: Sequence[Graph]) -> str:
    commands = ['embed --images photo.jpg --texts "a dog"', 'similarity --images photo.jpg --texts "a dog" "a cat"']
    if any(graph.name == CAPTION_STEP for graph in graphs):
        commands = ["caption photo.jpg", *commands]
    return "\n".join(f"python sycoca_onnx.py {command}" for command in commands)


def _described(graph: Graph) -> str:
    limits = "".join(f" `{axis}` is at most {longest}." for axis, longest in graph.longest.items())
    table = "\n".join([*_rows("input", graph.inputs), *_rows("output", graph.outputs)])
    head = "| | name | type | shape |\n| --- | --- | --- | --- |"
    return f"### {graph.name}.onnx\n\n{graph.what}{limits}\n\n{head}\n{table}"


def _rows(side: str, ports: Sequence[Port]) -> list[str]:
    """Return lines of a table; layers that differ in their number alone share one."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for port in ports:
        kind = (re.sub(r"\d+$", "", port.name), port.dtype, ", ".join(map(str, port.axes)))
        groups.setdefault(kind, []).append(f"`{port.name}`")
    return [
        f"| {side} | {names[0] if len(names) == 1 else f'{names[0]} to {names[-1]}'} | {dtype} | {shape} |"
        for (_, dtype, shape), names in groups.items()
    ]
