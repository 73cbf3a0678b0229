"""Names of the sets that are made here: as JSON and metrics have them, and as people read them."""

from medembed.language import to_translate, tr

MADE = to_translate("first sentences")
_HELD_BACK = {
    "tag": to_translate("held back tag {value}"),
    "language": to_translate("held back language {value}"),
}


def held_back_name(kind: str, value: str) -> str:
    """Name the set of queries of a kind that was held back, in English."""
    return _HELD_BACK[kind].format(value=value)


def set_label(name: str) -> str:
    """Return the name of a set in the user's language; that of a set that was given, as it is."""
    for message in _HELD_BACK.values():
        start = message.removesuffix("{value}")
        if name.startswith(start):
            return tr(message, value=name.removeprefix(start))
    return tr(name) if name == MADE else name
