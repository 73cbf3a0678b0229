"""Declare what each kind of output is and what it was made from.

`manifest.json`, the tags of registered versions and the card in a checkpoint are renderings of
these classes. A new kind of output is a class here, and a line in `custody.kinds`: then erase knows
it. What a version needs and a backup copies is listed in `custody.items`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medembed.schema import BEST, CORPUS, EXAMPLE_ROWS, EXAMPLES, HELD_OUT, QRELS, QUERIES

Columns = frozenset[str]


@dataclass(frozen=True)
class Source:
    """What something was made from: its fingerprint, where it lay, and of a table which version.

    The fingerprint of a table is that of the encoder whose vectors it holds.
    """

    fingerprint: str
    uri: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Origin:
    """All that an output was made from; None: nothing of that kind, or nothing says so.

    `parent` is the model that training began with. The `dataset` of a data set is the one that it
    grew from.
    """

    dataset: Source | None = None
    examples: Source | None = None
    table: Source | None = None
    parent: Source | None = None

    @property
    def data(self) -> list[str]:
        """Where data set, examples and table lie, as far as that is known."""
        sources = (self.dataset, self.examples, self.table)
        return [source.uri for source in sources if source is not None and source.uri]


@dataclass(frozen=True)
class Erased:
    """How many rows were erased from an output, and on which day the last of them."""

    rows: int
    date: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the manifest of any output says.

    `key` is the fingerprint of all that determined it; `files` are the names of its files.

    Each kind declares: whether its files name documents or queries (`has_rows`); whether it
    `is_rewritten` when rows are erased, or is deleted, because a job can make it again from
    the same inputs; and the `layouts` of its tables, which identify one without a manifest.
    """

    kind: ClassVar[str]
    has_rows: ClassVar[bool] = True
    is_rewritten: ClassVar[bool] = False
    layouts: ClassVar[tuple[Columns, ...]] = ()

    key: str = ""
    origin: Origin = Origin()
    files: tuple[str, ...] = ()

    @property
    def names(self) -> Collection[str]:
        """The names of all its files."""
        return self.files

    @property
    def identity(self) -> str:
        """The fingerprint by which what is made of it names it."""
        return self.key


@dataclass(frozen=True)
class TextFacts:
    """The texts of one kind: how many are in each language, and how long they are, as {percent:
    length}.
    """

    languages: dict[str, int] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatasetManifest(Manifest):
    """A data set: corpus, queries and judgments.

    `rows` {file: its rows} are those of corpus and queries; `dropped` {rule: rows}; `columns`
    {role: columns of the source}. Lengths are counted in `length_unit` of every `length_every`-th
    text. `taken` {content hash: name} are the landed files that it, and those that it grew from,
    were made from. `erased_queries` are hashes of the queries that it lost by erasures.
    """

    kind: ClassVar[str] = "data set"
    is_rewritten: ClassVar[bool] = True
    layouts: ClassVar[tuple[Columns, ...]] = tuple(
        frozenset(schema.names) for schema in (CORPUS, QUERIES, QRELS, HELD_OUT)
    )

    fingerprint: str = ""
    source: str = ""
    format: str = ""
    shape: str = ""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    licence: str | None = None
    validated_by: str | None = None
    rows_read: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    held_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    bad_rows: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    length_unit: str = "words"
    length_every: int = 1
    tokenizer: str | None = None
    documents: TextFacts = TextFacts()
    queries: TextFacts = TextFacts()
    chunk_overlap: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    erased: Erased | None = None
    erased_queries: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The fingerprint by which what is made of it names it."""
        return self.fingerprint

    @property
    def document_count(self) -> int:
        """The number of documents; chunks of one count once."""
        return self.counts["documents"]

    @property
    def query_count(self) -> int:
        """The number of queries."""
        return self.counts["queries"]


@dataclass(frozen=True)
class Searched:
    """What decides scores: vectors that were made or kept otherwise, or cut elsewhere, cannot stand
    in one list.
    """

    encoder: str
    storage: str
    width: int
    ranges: str | None
    dimensions: int


@dataclass(frozen=True, kw_only=True)
class ExamplesManifest(Manifest):
    """Training examples: pairs with their negatives.

    `table_files` {data files: which of their rows were deleted} are those of the table when it was
    searched, so that a later run finds what has changed since. `pool` is the fingerprint of the
    examples that these were cut from.
    """

    kind: ClassVar[str] = "examples"
    layouts: ClassVar[tuple[Columns, ...]] = (
        frozenset(EXAMPLES.names),
        frozenset(EXAMPLE_ROWS.names),
        # what the search that mined them remembers
        frozenset({"query_id", "content_hash", "embedding", "rows", "scores", "is_whole"}),
    )

    counts: dict[str, int] = field(default_factory=dict)
    searched: Searched | None = None
    table_files: dict[str, str] = field(default_factory=dict)
    negatives: int = 0
    is_lists: bool = True
    pool: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def example_count(self) -> int:
        """The number of rows that training reads."""
        return self.counts["examples"]


@dataclass(frozen=True, kw_only=True)
class EvaluationManifest(Manifest):
    """An evaluation: means, and the values of every query, text and pair. Its `encoder` was
    measured.
    """

    kind: ClassVar[str] = "evaluation"
    layouts: ClassVar[tuple[Columns, ...]] = (frozenset(BEST.names),)

    encoder: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExportManifest(Manifest):
    """Embeddings of a table as Parquet, cut to `dimensions`."""

    kind: ClassVar[str] = "exported embeddings"
    layouts: ClassVar[tuple[Columns, ...]] = (frozenset({"document_id", "embedding"}),)

    dimensions: int
    rows: int


@dataclass(frozen=True)
class Start:
    """How a model was turned before its training.

    `held` {dimension: share of the squared length of vectors in that prefix}, by the vectors of so
    many documents.
    """

    documents: int
    held: dict[int, float]


@dataclass(frozen=True, kw_only=True)
class StartManifest(Manifest):
    """A model that was turned to the principal axes of a corpus, which a training begins with."""

    kind: ClassVar[str] = "start of a training"
    has_rows: ClassVar[bool] = False

    start: Start


@dataclass(frozen=True, kw_only=True)
class CheckpointManifest(Manifest):
    """A trained model. `dev` {metric: value} has the scores on the dev sample, and the step.

    `fingerprint` is its encoder's; `dimensions` those that it was trained for, widest first.
    """

    kind: ClassVar[str] = "checkpoint"
    has_rows: ClassVar[bool] = False

    fingerprint: str = ""
    dimensions: tuple[int, ...] = ()
    dev: dict[str, float] = field(default_factory=dict)
    start: Start | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The fingerprint by which what is made of it names it."""
        return self.fingerprint

    @property
    def score(self) -> float:
        """The score that chose this checkpoint among those of its training."""
        return self.dev["score"]

    @property
    def step(self) -> int:
        """The step of its training at which it was taken."""
        return int(self.dev["step"])
