"""Compare the tokens per second of this project's trainer and that of sae-lens, on one CPU thread.

    python benchmarks/training.py [--steps 10]

Both train SAEs of the same architecture and size on the same batches of noise, with Adam. Processor time is measured,
so that other programs on the machine have little influence.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput

from measure.stages.sparsity import LABELS
from measure.stages.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measure.stages.sparsity import Architecture

_D_MODEL, _BATCH = 576, 1024


def batches(seed: int) -> Iterator[np.ndarray]:
    """Yield batches of noise endlessly."""
    rng = np.random.RandomState(seed)
    stock = rng.randn(8, _BATCH, _D_MODEL).astype(np.float16)
    while True:
        yield from stock


def own(architecture: Architecture, width: int, k: int, steps: int) -> float:
    """Return the tokens per second of this project's trainer, from its second step on."""
    ends: list[float] = []
    train(
        batches,
        architecture=architecture,
        width=width,
        k=k,
        tokens=(steps + 1) * _BATCH,
        seed=0,
        device=torch.device("cpu"),
        progress=lambda _: ends.append(time.process_time()),
    )
    return steps * _BATCH / (ends[-1] - ends[0])


def theirs(architecture: Architecture, width: int, k: int, steps: int) -> float:
    """Return the tokens per second of the trainer of sae-lens, from its second step on."""
    size: dict[str, Any] = {"d_in": _D_MODEL, "d_sae": width, "device": "cpu"}
    sae: Any
    match architecture:
        case "batchtopk":
            sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(k=k, **size))
        case "matryoshka":
            widths = [width // share for share in (16, 8, 4, 2, 1)]
            sae = MatryoshkaBatchTopKTrainingSAE(
                MatryoshkaBatchTopKTrainingSAEConfig(k=k, matryoshka_widths=widths, **size)
            )
        case "topk":
            sae = TopKTrainingSAE(TopKTrainingSAEConfig(k=k, **size))
        case "jumprelu":
            sae = JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(**size))
    optimizer = torch.optim.Adam(sae.parameters(), lr=3e-3)
    dead = torch.zeros(width, dtype=torch.bool)
    ends = []
    for step, batch in zip(range(steps + 1), batches(0), strict=False):
        given = TrainStepInput(torch.from_numpy(batch).float(), {"l0": 1.0}, dead, step, is_logging_step=False)
        optimizer.zero_grad()
        sae.training_forward_pass(given).loss.backward()
        optimizer.step()
        ends.append(time.process_time())
    return steps * _BATCH / (ends[-1] - ends[0])


def main() -> None:
    """Time both, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    for architecture in LABELS:
        for width, k in product((2048, 8192), (8, 32)):
            speeds = own(architecture, width, k, steps), theirs(architecture, width, k, steps)
            text = "{}, width {:,}, k {}: own {:,.0f}, sae-lens {:,.0f} tokens/s"
            print(text.format(LABELS[architecture], width, k, *speeds), flush=True)


if __name__ == "__main__":
    main()
