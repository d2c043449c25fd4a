"""The contracts of a suite's tables: what a row is, its columns, and which of them are required.

One declaration serves everything that needs it: the store builds its views and checks the files from it, the
importers write by it, and ``data/SCHEMA.md`` is rendered from it (a test keeps the two equal).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

#: The largest INTEGER.
INTEGER_MAX = 2**31 - 1

LETTERS = "abcdefghijklmnopqrstuvwxyz"

#: SAEBench's absorption fractions, by the rule since 0.4.1 and by that of 0.3.0 to 0.4.0 (functions/is_fraction.sql).
FRACTION, FRACTION_0_3 = "fraction", "fraction-0.3"
FRACTIONS = (FRACTION, FRACTION_0_3)


def concept_id(letter: str) -> str:
    """Return the id of the concept of words that start with `letter` (a-z, lower case)."""
    return f"first-letter.{letter}"


def family_of(concept: str) -> str:
    """Return the family of a concept."""
    return concept.partition(".")[0]


def letter_of(concept: str) -> str:
    """Return the letter of an id made by `concept_id`."""
    return concept.partition(".")[2]


class Rule(NamedTuple):
    """A condition that the values of a column must meet.

    Attributes
    ----------
    sql : str
        The condition, with {} for the column; `n_latents` is that of the row's SAE.
    words : str
        The same, to follow "must be" in a sentence.
    """

    sql: str
    words: str


_SHARE = Rule("{} BETWEEN 0 AND 1", "from 0 to 1")
_PORTION = Rule("{} > 0 AND {} <= 1", "above 0, up to 1")
# float16 and float32 round beyond 1
_COSINE = Rule("abs({}) <= 1.001", "from -1 to 1")
_COSINE_EACH = Rule("len(list_filter({}, lambda x: abs(x) > 1.001)) = 0", "from -1 to 1 each")
_NOT_NEGATIVE = Rule("{} >= 0", "0 or more")
_NOT_NEGATIVE_EACH = Rule("coalesce(list_min({}), 0) >= 0", "0 or more each")
_OF_PROBE = Rule(
    "{} >= 0 AND {} <= coalesce(num_probe_true_positives, {})", "0 or more, and at most num_probe_true_positives"
)
_ID = Rule("{} >= 0 AND {} < n_latents", "0 or more and less than the SAE's number of latents")
_IDS = Rule("coalesce(list_min({}) >= 0 AND list_max({}) < n_latents, true)", f"{_ID.words}, each")
#: Valid in a URL and in a file name.
ID_PATTERN = "[a-z0-9][a-z0-9._-]*"
_ID_RULE = Rule(
    f"regexp_full_match({{}}, '{ID_PATTERN}')", "an id: lower-case letters, digits, dots, hyphens, underscores"
)


def _beside(other: str) -> Rule:
    return Rule(f"len({{}}) = coalesce(len({other}), len({{}}))", f"as long as {other}")


@dataclass(frozen=True)
class Column:
    """One column of a suite's table.

    Attributes
    ----------
    name, type : str
        Name and DuckDB type; files may hold any type that casts to it.
    doc : str
        Meaning and unit, one sentence.
    required : bool
        Whether a file without it is rejected; an absent optional column reads as NULL.
    rule : Rule, optional
        Condition that each value other than NULL must meet.
    """

    name: str
    type: str
    doc: str
    required: bool = True
    rule: Rule | None = None


@dataclass(frozen=True)
class Table:
    """One table of a suite: a parquet file, or a folder of them where `partitioned`.

    Attributes
    ----------
    name : str
        Table name and the stem of its file.
    grain : str
        What one row is.
    key : tuple of str
        The columns that identify a row; files are sorted by them.
    columns : tuple of Column
    required : bool
        Whether a suite without the table is rejected.
    resident : bool
        Whether the store copies it into memory when it opens (small, and used by every view).
    partitioned : bool
        Whether it consists of one file per SAE, ``<name>/<sae>.parquet``.
    max_rows : int
        Maximum rows of a file.
    max_bytes : int
        Maximum bytes in memory: of the file of a resident table; for other tables, of one row group, a few of which are
        read at a time.
    max_text : int
        Maximum bytes of a text.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    required: bool = False
    resident: bool = False
    partitioned: bool = False
    # One row per latent of 1,040 SAEs of 65,536 latents are 68 million rows. A row group of one letter's cosines for
    # 16 million latents takes 400 MB, those that the writer makes of other tables some 10 MB.
    max_rows: int = 100_000_000
    max_bytes: int = 512 * 2**20
    max_text: int = 10_000

    def column(self, name: str) -> Column:
        """Return the column called `name` (KeyError if there is none)."""
        return {column.name: column for column in self.columns}[name]


_SAE = Column("sae", "VARCHAR", "Id of the SAE (saes).", rule=_ID_RULE)
_CONCEPT = Column("concept", "VARCHAR", "Id of the concept (concepts).", rule=_ID_RULE)
_NAMED_BY_FAMILY = Rule(
    f"{_ID_RULE.sql} AND starts_with({{}}, family || '.')",
    "the family, a dot and a name, of lower-case letters and digits",
)
_LATENT = Column("latent", "INTEGER", "Row of the SAE's decoder, counted from 0.", rule=_ID)


def _optional(name: str, type_: str, doc: str, rule: Rule | None = None) -> Column:
    return Column(name, type_, doc, required=False, rule=rule)


# On every measured row, because "absorption" can mean several quantities; the writer fills in the manifest's.
_METRIC = (
    _optional("metric", "VARCHAR", "Metric, e.g. ig_ablation (manifest: method.metric)."),
    _optional("metric_version", "VARCHAR", "Version of the program that measured it, if known."),
)

_SAES = Table(
    "saes",
    "one SAE",
    ("sae",),
    (
        _SAE,
        _optional("title", "VARCHAR", "Its name by its publisher."),
        _optional("layer", "INTEGER", "Block that it reads, counted from 0.", _NOT_NEGATIVE),
        _optional("hook", "VARCHAR", "Point of the model that it reads, e.g. blocks.4.hook_resid_post."),
        _optional("width", "INTEGER", "Nominal width as published (16000 for 16,384 latents).", _NOT_NEGATIVE),
        _optional("num_latents", "INTEGER", "Number of its latents.", _NOT_NEGATIVE),
        _optional(
            "num_latents_counted", "BOOLEAN", "Whether they were counted; otherwise num_latents is a lower bound."
        ),
        _optional("l0", "DOUBLE", "Mean number of active latents per token, as measured or published.", _NOT_NEGATIVE),
        _optional("l0_nominal", "INTEGER", "L0 in its label.", _NOT_NEGATIVE),
        _optional("architecture", "VARCHAR", "Its architecture, e.g. BatchTopK."),
        _optional("recipe", "VARCHAR", "How it was trained."),
        _optional("seed", "INTEGER", "Seed of its initial weights and of the order of its data."),
        _optional("repeat_of", "VARCHAR", "The SAE that it repeats with another seed."),
        _optional("tokens_seen", "BIGINT", "Tokens it was trained on.", _NOT_NEGATIVE),
        _optional("variance_explained", "DOUBLE", "Share of the stream's variance explained by the reconstruction."),
        _optional("loss_recovered", "DOUBLE", "Share of the model's loss recovered by the reconstruction."),
        _optional("dead_fraction", "DOUBLE", "Share of latents that never fire.", _SHARE),
        _optional("neuronpedia_model", "VARCHAR", "Neuronpedia's name of the model, if it hosts the SAE."),
        _optional("neuronpedia_source", "VARCHAR", "Its name of the SAE, e.g. 3-gemmascope-res-16k."),
        _optional("attributes", "MAP(VARCHAR, VARCHAR)", "Further attributes from its source."),
    ),
    required=True,
    resident=True,
    max_rows=10_000,
    max_bytes=64 * 2**20,
)

_CONCEPTS = Table(
    "concepts",
    "one concept",
    ("concept",),
    (
        replace(_CONCEPT, doc="Its id, <family>.<name>.", rule=_NAMED_BY_FAMILY),
        Column("family", "VARCHAR", "Family it belongs to (manifest: families).", rule=_ID_RULE),
        Column("label", "VARCHAR", "Its label, e.g. L, -ing, verb."),
        Column("phrase", "VARCHAR", "Phrase that is true of its tokens, e.g. starts with L."),
        _optional("parent", "VARCHAR", "The more general concept of which it is a kind."),
        _optional("position", "INTEGER", "Its position in its family.", _NOT_NEGATIVE),
        _optional("num_tokens", "INTEGER", "Tokens of the vocabulary that have it.", _NOT_NEGATIVE),
    ),
    required=True,
    resident=True,
    max_rows=100_000,
    max_bytes=64 * 2**20,
)

_MEASUREMENTS = Table(
    "measurements",
    "one SAE, one concept and one metric",
    ("sae", "concept", "metric"),
    (
        _SAE,
        _CONCEPT,
        _optional(
            "split_latents", "INTEGER[]", "Latents that share the concept at the suite's tau, main one first.", _IDS
        ),
        _optional("num_split_latents", "INTEGER", "Their number, if only the number was published.", _NOT_NEGATIVE),
        _optional(
            "num_probe_true_positives",
            "INTEGER",
            "Test tokens of the concept that the linear probe finds.",
            _NOT_NEGATIVE,
        ),
        _optional(
            "num_true_positives",
            "INTEGER",
            "Of these, found by the k-sparse probe on the split latents.",
            _OF_PROBE,
        ),
        _optional(
            "num_split_silent",
            "INTEGER",
            "Of the probe's true positives, those with every split latent silent.",
            _NOT_NEGATIVE,
        ),
        _optional(
            "num_candidates",
            "INTEGER",
            "Of the silent ones, those that the k-sparse probe misses; by projection as it is measured here, the"
            " probe's true positives on which a latent is active.",
            _NOT_NEGATIVE,
        ),
        _optional(
            "num_tested", "INTEGER", "Candidates that were tested; their rows are in tested_tokens.", _NOT_NEGATIVE
        ),
        _optional(
            "sample_portion", "DOUBLE", "num_tested / num_candidates; 1 where nothing had to be sampled.", _PORTION
        ),
        _optional(
            "num_absorbed",
            "INTEGER",
            "Absorbed tokens, if only the number was published and not the tokens.",
            _OF_PROBE,
        ),
        _optional(
            "absorption_rate",
            "DOUBLE",
            "Absorption rate, if only the rate was published and not its counts.",
            _NOT_NEGATIVE,
        ),
        _optional(
            "random_rate",
            "DOUBLE",
            "Rate by chance: by the same rule with random directions in place of the probe.",
            _NOT_NEGATIVE,
        ),
        _optional(
            "absorption_fraction",
            "DOUBLE",
            "SAEBench's absorption fraction, mean over the probe's true positives: another quantity than a rate. Its"
            " rule is that of the metric, or beside another metric that of metric_version.",
        ),
        _optional("probe_f1", "DOUBLE", "F1 of the linear probe on the test split.", _SHARE),
        _optional("probe_precision", "DOUBLE", "Precision of the linear probe on the test split.", _SHARE),
        _optional("probe_recall", "DOUBLE", "Recall of the linear probe on the test split.", _SHARE),
        _optional("probe_auc", "DOUBLE", "Area under the ROC curve of the linear probe.", _SHARE),
        _optional(
            "undefined",
            "VARCHAR",
            "Why there is no rate, to follow 'undefined here, because'; it is unknown at any threshold, not 0.",
        ),
        _optional(
            "rate_low",
            "DOUBLE",
            "Lower end of the 95% interval of the rate or fraction at the suite's own thresholds, by a bootstrap over"
            " groups of words.",
            _NOT_NEGATIVE,
        ),
        _optional("rate_high", "DOUBLE", "Its upper end.", _NOT_NEGATIVE),
        _optional(
            "num_right",
            "INTEGER",
            "Of the probe's true positives, those that the model answers correctly.",
            _OF_PROBE,
        ),
        _optional("right_rate", "DOUBLE", "The rate over these only, at the suite's own thresholds.", _NOT_NEGATIVE),
        _optional("shuffled_f1", "DOUBLE", "F1 of a linear probe fitted to shuffled labels.", _SHARE),
        _optional(
            "model_accuracy", "DOUBLE", "Share of the concept's test tokens that the model answers with it.", _SHARE
        ),
        _optional(
            "erasure_effect",
            "DOUBLE",
            "Mean change of the metric, in logits, when the probe's direction is erased at a token; negative: the model"
            " reads the concept there.",
        ),
        *_METRIC,
    ),
    required=True,
    resident=True,
    # 26 for each of 10,000 SAEs.
    max_rows=300_000,
    max_bytes=256 * 2**20,
)

_K_SPARSE = Table(
    "k_sparse",
    "one SAE, one concept and one k of the k-sparse probe",
    ("sae", "concept", "k"),
    (
        _SAE,
        _CONCEPT,
        Column("k", "INTEGER", "Number of latents the probe may use: 1-15, 20, 50.", rule=_NOT_NEGATIVE),
        _optional("latent", "INTEGER", "The k-th latent in the ranking, added at this k.", _ID),
        Column("f1", "DOUBLE", "F1 on the test split.", rule=_SHARE),
        _optional("precision", "DOUBLE", "Precision on the test split.", _SHARE),
        _optional("recall", "DOUBLE", "Recall on the test split.", _SHARE),
        _optional("auc", "DOUBLE", "Area under the ROC curve on the test split.", _SHARE),
    ),
    resident=True,
    # 17 for each letter of 10,000 SAEs.
    max_rows=5_000_000,
    max_bytes=512 * 2**20,
)

_ENCODER_TOP = Table(
    "encoder_top",
    "one SAE, one concept and one of the latents whose encoder direction is closest to the probe",
    ("sae", "concept", "rank"),
    (
        _SAE,
        _CONCEPT,
        Column(
            "rank", "INTEGER", "0 for the latent with the highest encoder cosine, 1 for the next.", rule=_NOT_NEGATIVE
        ),
        _optional("latent", "INTEGER", "The latent.", _ID),
        _optional("encoder_cosine", "DOUBLE", "Cosine of its encoder column with the probe.", _COSINE),
        _optional("cosine", "DOUBLE", "Cosine of its decoder row with the probe.", _COSINE),
        Column("precision", "DOUBLE", "Precision of 'the latent fires' on the test split.", rule=_SHARE),
        Column("recall", "DOUBLE", "Recall of 'the latent fires' on the test split.", rule=_SHARE),
        _optional("f1", "DOUBLE", "F1 of 'the latent fires' on the test split.", _SHARE),
        _optional("auc", "DOUBLE", "Area under the ROC curve of its activation.", _SHARE),
    ),
    resident=True,
    # 3 for each letter of 10,000 SAEs, and more of fewer.
    max_rows=2_000_000,
    max_bytes=256 * 2**20,
)

_TESTED_TOKENS = Table(
    "tested_tokens",
    "one SAE and one tested token of a concept: a candidate whose latents were ablated, or a true positive of the probe"
    " whose projection was taken apart",
    ("sae", "concept", "token"),
    (
        _SAE,
        _CONCEPT,
        Column("token", "VARCHAR", "The token as the tokenizer has it, leading space included."),
        _optional("token_id", "INTEGER", "Its id in the model's vocabulary."),
        _optional("prompt_id", "INTEGER", "The prompt in which it was shown (prompts)."),
        _optional(
            "split_activations",
            "FLOAT[]",
            "Activation of each split latent; all below 1e-8 on a candidate.",
            _NOT_NEGATIVE_EACH,
        ),
        _optional("split_cosines", "FLOAT[]", "Cosine of each split latent with the probe.", _COSINE_EACH),
        Column(
            "top_latent",
            "INTEGER",
            "The active latent with the most negative effect (if none was ablated: with the largest projection).",
            rule=_ID,
        ),
        _optional("top_effect", "FLOAT", "Its effect in logits (integrated gradients); negative: removing it hurts."),
        _optional("top_cosine", "FLOAT", "Cosine of its decoder row with the probe.", _COSINE),
        _optional("second_latent", "INTEGER", "The runner-up.", _ID),
        _optional("second_effect", "FLOAT", "Its effect in logits; 0 if no other latent has a negative effect."),
        _optional("second_cosine", "FLOAT", "Cosine of its decoder row with the probe.", _COSINE),
        _optional(
            "latents",
            "INTEGER[]",
            "Active latents: those with the largest effects, most negative first, or the largest projections.",
            _IDS,
        ),
        _optional("effects", "FLOAT[]", "Their effects in logits.", _beside("latents")),
        _optional("activations", "FLOAT[]", "Their activations.", _beside("latents")),
        _optional("cosines", "FLOAT[]", "Cosines of their decoder rows with the probe.", _COSINE_EACH),
        _optional(
            "top_projection",
            "FLOAT",
            "SAEBench: the largest projection of a latent: its activation times its decoder row's projection on the"
            " probe's direction (the cosine, for rows of length 1).",
        ),
        _optional("second_projection", "FLOAT", "The same for the runner-up."),
        _optional("projections", "FLOAT[]", "The same for each of latents.", _beside("latents")),
        _optional("main_projection", "FLOAT", "SAEBench: sum of the split latents' projections."),
        _optional(
            "absorbing_projection",
            "FLOAT",
            "SAEBench: sum of the three largest positive projections of other latents, of those with a cosine of at"
            " least 0.1.",
        ),
        _optional(
            "latents_projection",
            "FLOAT",
            "SAEBench: sum of the projections of all latents. Where it is known, latents has every active latent that"
            " is split at some tau, and of the others the three that absorbing_projection would count.",
        ),
        _optional("total_projection", "FLOAT", "SAEBench: projection of the whole activation on the probe."),
        _optional(
            "absorption_fraction",
            "FLOAT",
            "SAEBench's absorption fraction of this token, by the rule of the row's metric_version.",
        ),
        _optional("true_effect_top", "FLOAT", "Measured change in logits when only the top latent is removed."),
        _optional("true_effect_second", "FLOAT", "The same for the runner-up."),
        _optional("answer_metric", "FLOAT", "Logit of the right answer minus the mean of the others, unmodified."),
        _optional(
            "answer_log_odds",
            "FLOAT",
            "Logit of the right answer minus the log of the summed exponentials of the others, unmodified.",
        ),
        _optional(
            "erasure_effect",
            "FLOAT",
            "Measured change of answer_metric when the probe's direction is erased at the token; negative: it hurts.",
        ),
        _optional("model_answer", "VARCHAR", "The model's own answer."),
        _optional("model_correct", "BOOLEAN", "Whether the answer is right."),
        _optional(
            "probe_logit",
            "FLOAT",
            "Score of the linear probe in the prompt of the test; positive predicts the concept.",
        ),
        _optional("num_active_latents", "INTEGER", "Latents active on the token.", _NOT_NEGATIVE),
        Column("is_absorption", "BOOLEAN", "The published verdict, at the suite's own thresholds."),
        *_METRIC,
    ),
    resident=True,
    # Gemma Scope has 740 for each SAE, some 380 bytes each with their lists.
    max_rows=3_000_000,
    max_bytes=1024 * 2**20,
)

_TOKENS = Table(
    "tokens",
    "one alphabetic token of the model's vocabulary",
    ("token_id",),
    (
        Column("token_id", "INTEGER", "Its id in the model's vocabulary (or in this file)."),
        Column("token", "VARCHAR", "The token as the tokenizer has it, leading space included."),
        _optional("is_test", "BOOLEAN", "Whether it is in the test split, on which every score is measured."),
        _optional("model_answer", "VARCHAR", "The model's own answer (test tokens)."),
        _optional("model_metric", "FLOAT", "Logit of the right answer minus the mean of the others (test tokens)."),
    ),
    resident=True,
    # The largest vocabularies have half a million.
    max_rows=2_000_000,
    max_bytes=256 * 2**20,
)

_TOKEN_CONCEPTS = Table(
    "token_concepts",
    "one token of the vocabulary and one of its concepts",
    ("token_id", "concept"),
    (Column("token_id", "INTEGER", "The token (tokens)."), _CONCEPT),
    resident=True,
    # Four for each of half a million.
    max_rows=2_000_000,
    max_bytes=256 * 2**20,
)

_LATENTS = Table(
    "latents",
    "one latent of one SAE",
    ("sae", "latent"),
    (
        _SAE,
        _LATENT,
        _optional("density", "FLOAT", "Share of text tokens on which it fires.", _SHARE),
        _optional("max_activation", "FLOAT", "Largest activation on text.", _NOT_NEGATIVE),
        _optional("mean_activation", "FLOAT", "Mean activation on the text tokens on which it fires.", _NOT_NEGATIVE),
        _optional(
            "num_vocab_tokens", "INTEGER", "Alphabetic tokens of the vocabulary on which it fires.", _NOT_NEGATIVE
        ),
        _optional("num_test_tokens", "INTEGER", "Of these, in the test split.", _NOT_NEGATIVE),
        _optional("max_activation_vocab", "FLOAT", "Largest activation on the vocabulary.", _NOT_NEGATIVE),
        _optional("encoder_decoder_cosine", "FLOAT", "Cosine of its encoder column with its decoder row.", _COSINE),
        _optional("top_concept", "VARCHAR", "Concept whose probe has the highest cosine with its decoder row."),
        _optional("top_concept_cosine", "FLOAT", "That cosine.", _COSINE),
    ),
)

_CONTEXTS = Table(
    "contexts",
    "one text window in which a latent fires strongly",
    ("sae", "latent", "rank"),
    (
        _SAE,
        _LATENT,
        Column("rank", "INTEGER", "0 for the strongest.", rule=_NOT_NEGATIVE),
        Column("activation", "FLOAT", "Activation on the token for which the window was chosen."),
        Column("tokens", "VARCHAR[]", "The window's tokens."),
        Column("activations", "FLOAT[]", "Activation of the latent on each of them.", rule=_beside("tokens")),
        Column(
            "position",
            "INTEGER",
            "Index of the chosen token in the window.",
            rule=Rule("{} >= 0 AND {} < len(tokens)", "the index of a token"),
        ),
        _optional(
            "source",
            "VARCHAR",
            "Its source (manifest: corpus), or the interval of activations from which it was sampled.",
        ),
    ),
)

_LOGITS = Table(
    "logits",
    "one latent's effect on the output vocabulary",
    ("sae", "latent"),
    (
        _SAE,
        _LATENT,
        Column("raised_tokens", "VARCHAR[]", "Output tokens that the decoder row raises most."),
        Column(
            "raised_logits",
            "FLOAT[]",
            "By how much; only order and relative size are meaningful.",
            rule=_beside("raised_tokens"),
        ),
        Column("lowered_tokens", "VARCHAR[]", "Output tokens that it lowers most."),
        Column("lowered_logits", "FLOAT[]", "By how much, negative.", rule=_beside("lowered_tokens")),
    ),
)

_HISTOGRAMS = Table(
    "histograms",
    "one latent's activations on text",
    ("sae", "latent"),
    (
        _SAE,
        _LATENT,
        Column("low", "FLOAT", "Left edge of the first bin, activation."),
        Column("high", "FLOAT", "Right edge of the last bin, activation."),
        Column(
            "counts",
            "INTEGER[]",
            "Text tokens in each of the equal bins; silent tokens are not counted.",
            rule=_NOT_NEGATIVE_EACH,
        ),
    ),
)

_TOKEN_ACTIVATIONS = Table(
    "token_activations",
    "one latent's activations on the vocabulary",
    ("sae", "latent"),
    (
        _SAE,
        _LATENT,
        Column("token_ids", "INTEGER[]", "Tokens (tokens.token_id) on which it fires, strongest first."),
        Column("activations", "FLOAT[]", "Its activation on each of them.", rule=_beside("token_ids")),
    ),
)

_KIN = Table(
    "kin",
    "one latent and one of the latents of another SAE of the layer whose decoder directions are closest to its own",
    ("sae", "latent", "other_sae", "rank"),
    (
        _SAE,
        _LATENT,
        Column(
            "other_sae",
            "VARCHAR",
            "The other SAE (saes).",
            rule=Rule(f"{_ID_RULE.sql} AND {{}} <> sae", "the id of another SAE"),
        ),
        Column("rank", "INTEGER", "0 for the latent with the highest cosine, 1 for the next.", rule=_NOT_NEGATIVE),
        Column("other_latent", "INTEGER", "Row of the other SAE's decoder, counted from 0.", rule=_NOT_NEGATIVE),
        Column("cosine", "FLOAT", "Cosine of the two decoder rows.", rule=_COSINE),
        _optional(
            "overlap",
            "FLOAT",
            "Jaccard index of the vocabulary words on which each fires; null if neither fires on any.",
            _SHARE,
        ),
        _optional("num_shared_words", "INTEGER", "Words of the vocabulary on which both fire.", _NOT_NEGATIVE),
        _optional(
            "shared_words",
            "INTEGER[]",
            "Up to five of them (tokens.token_id), in the order of the other latent's activation.",
            Rule("len({}) <= coalesce(num_shared_words, len({}))", "at most num_shared_words"),
        ),
    ),
)

_DASHBOARDS = Table(
    "dashboards",
    "one latent's imported HTML page",
    ("sae", "latent"),
    (_SAE, _LATENT, Column("html", "VARCHAR", "The published page; shown in a sandbox only.")),
    # Published pages have some 100 kB.
    max_text=1_000_000,
)

_PROMPTS = Table(
    "prompts",
    "one prompt in which words were shown to the model",
    ("prompt_id",),
    (
        Column("prompt_id", "INTEGER", "Number of the prompt."),
        Column("template", "VARCHAR", "Its text; {token} marks the place of the word."),
        _optional("test_accuracy", "FLOAT", "Share of its test words that the model spells correctly.", _SHARE),
    ),
    # Examples of the task come before the word.
    max_text=100_000,
)

_COSINES = Table(
    "cosines",
    "one SAE, one concept and one latent",
    ("sae", "concept", "latent"),
    (
        _SAE,
        _CONCEPT,
        _LATENT,
        _optional("cosine", "FLOAT", "Cosine of the decoder row with the concept's probe.", _COSINE),
    ),
    partitioned=True,
    # 26 letters of 16 million latents.
    max_rows=450_000_000,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _SAES,
        _CONCEPTS,
        _MEASUREMENTS,
        _K_SPARSE,
        _ENCODER_TOP,
        _TESTED_TOKENS,
        _TOKENS,
        _TOKEN_CONCEPTS,
        _LATENTS,
        _CONTEXTS,
        _LOGITS,
        _HISTOGRAMS,
        _TOKEN_ACTIVATIONS,
        _KIN,
        _DASHBOARDS,
        _PROMPTS,
        _COSINES,
    )
}
