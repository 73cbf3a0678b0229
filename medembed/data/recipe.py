"""All that determines a data set, and where it goes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.duplicates import Ints
from medembed.data.formats.format import Part
from medembed.data.mapping import Mapping
from medembed.lineage import Source as MadeFrom


def _accept() -> None:
    """Accept whatever was read."""


@dataclass(frozen=True)
class Recipe:
    """What goes into a data set, and where it goes. `tokenizer` is a tokenizer.json as text.

    `mappings` are those of the source's files by URI, None where their columns are fixed.
    `generation` [parts] says of a data set that grows which parts are newer, 0 for those of the one
    it is `grown_from`; `taken` are the landed files. One that `is_small` is made by this process
    alone: workers would take longer to start. `check` raises if what was read is not what was
    meant.
    """

    format: str
    parts: tuple[Part, ...]
    mappings: dict[str, Mapping | None]
    source: SourceConfig
    splits: SplitConfig
    output: str
    key: str
    tokenizer: str | None
    generation: Ints | None = None
    grown_from: MadeFrom | None = None
    taken: dict[str, str] = field(default_factory=dict)
    is_small: bool = False
    check: Callable[[], None] = _accept

    @property
    def mapping(self) -> Mapping | None:
        """Return the mapping of the first file, which stands for all in the manifest."""
        return next(iter(self.mappings.values()), None)

    @property
    def lists_documents(self) -> bool:
        """Return whether each row is one document, so that repeated ones are counted as such."""
        shapes = {mapping.shape for mapping in self.mappings.values() if mapping is not None}
        return shapes <= {"classes", "documents"}

    def lists(self, part: Part) -> bool:
        """Return whether a part lists documents, so that their titles alone ask for them."""
        mapping = self.mappings.get(part.uri)
        return mapping is not None and mapping.shape == "documents"

    def is_old(self, part: int) -> bool:
        """Return whether a part is of the data set that this one grows from."""
        return self.generation is not None and self.generation[part] == 0
