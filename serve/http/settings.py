"""What the HTTP application is made of beside the model: one value, which a deployment hands to
each process.
"""

from dataclasses import dataclass, field

from serve.http.keys import Keys, ValidKeys
from serve.http.limits import LimitsConfig
from serve.logs import Target
from serve.operate.host import check_serve
from serve.replica.protocol import Model


@dataclass(frozen=True)
class Front:
    """How a server meets its callers.

    `keys` are those that it takes, none lets everyone in who names it by an address or one of
    `hosts`. `has_page` puts a page at / that tries the model out, with `examples` to begin with.
    `log` says where the access log goes. `extras` are the names of models beside the main one.
    `origins` are those of web pages elsewhere that may ask. `ranker` is the cross-encoder, if there
    is one, as far as it is known before it is loaded. `without_keys` lets other machines ask
    without keys.
    """

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    keys: ValidKeys = field(default_factory=ValidKeys)
    hosts: tuple[str, ...] = ()
    has_page: bool = True
    examples: tuple[str, ...] = ()
    log: Target = "off"
    extras: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    ranker: Model | None = None
    without_keys: bool = False

    def open_keys(self) -> Keys | None:
        """Return the keys as this process checks them; None if everyone may ask."""
        return Keys(self.keys) if self.keys != ValidKeys() else None

    def check_serve(self) -> None:
        """Raises ConfigError if other machines may ask without a key; in a replica, where Serve's
        address is known.
        """
        check_serve(self.keys != ValidKeys(), self.without_keys)
