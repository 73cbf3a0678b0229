"""Read YAML whose scalars stay the texts that were typed, such as 007, no and 2024-01-01."""

from collections.abc import Hashable
from typing import Any

import yaml

from medembed.language import tr

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


class RepeatedKeyError(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """Knows null and << alone. Refuses a repeated key, where YAML lets the later one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and key.tag != _MERGE:
                problem = tr("a key stands twice")
                raise RepeatedKeyError(problem=problem, problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in (_MERGE, _NULL)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str | bytes) -> Any:
    """Mappings, lists, None for a bare null, and texts. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)


def parse_texts(text: str) -> Any:
    """Mappings, lists and texts: a bare null is a text, too. Raises yaml.YAMLError."""
    return yaml.load(text, yaml.BaseLoader)
