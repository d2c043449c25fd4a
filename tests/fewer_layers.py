"""A model reduced to its first layers: the same vocabulary, formats and code in a fraction of the time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gguf import GGUFReader, GGUFWriter

if TYPE_CHECKING:
    from pathlib import Path


def write_first_layers(whole: Path, path: Path, num_layers: int) -> None:
    """Copy a gguf file of the Llama family without the layers from `num_layers` on."""
    read = GGUFReader(whole)
    written = GGUFWriter(path, "llama")
    for name, field in read.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            value = num_layers if name == "llama.block_count" else field.contents()
            written.add_key_value(name, value, field.types[0], field.types[1] if len(field.types) > 1 else None)
    for tensor in read.tensors:
        layer = re.match(r"blk\.(\d+)\.", tensor.name)
        if layer is None or int(layer[1]) < num_layers:
            written.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    written.write_header_to_file()
    written.write_kv_data_to_file()
    written.write_tensors_to_file()
    written.close()
