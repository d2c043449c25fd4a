"""One-sentence definitions of the terms in the interface."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Definition of each term, by the name that the term has in SQL, in parameters and in the URL.
GLOSSARY: Mapping[str, str] = MappingProxyType(
    tomllib.loads(files(__package__).joinpath("glossary.toml").read_text("utf-8")),
)


def definition(term: str) -> str:
    """Return the one-sentence definition of a term.

    Parameters
    ----------
    term : str
        Name of the term, for example ``"absorption_rate"``.

    Returns
    -------
    str
        Plain text; escape it like any other where it enters HTML.

    Raises
    ------
    KeyError
        If the glossary lacks the term.
    """
    return GLOSSARY[term]


#: Displayed names of terms, if they differ from the name in SQL.
_NAMES = {
    "sae": "SAE",
    "l0": "L0",
    "k_sparse": "k-sparse probe",
    "probe": "linear probe",
    "kin": "kin of a latent",
    "encoder_top": "latent with the highest encoder cosine",
    "f1": "F1",
    "auc": "AUC",
    "candidates": "candidate",
    "tested": "tested token",
    "absorbed": "absorbed token",
    "rate_interval": "interval of a rate",
    "random_rate": "chance",
    "effect": "ablation effect",
    "num_probe_true_positives": "true positives of the linear probe",
    "num_true_positives": "true positives of the split latents",
    "num_split_silent": "true positives with silent split latents",
    "density": "density of a latent",
    "num_vocab_tokens": "words on which a latent fires",
    "max_activation": "largest activation",
    "logits": "output tokens",
    "histogram": "histogram of activations",
}


def name_of(term: str) -> str:
    """Return the displayed name of a term of the glossary."""
    return _NAMES.get(term, term.replace("_", " "))
