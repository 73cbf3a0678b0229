"""What the HTTP application is made of, beside the model: one value for each of its processes."""

from dataclasses import dataclass, field

from serve.http.keys import Keys, ValidKeys
from serve.http.limits import LimitsConfig
from serve.logs import Target
from serve.operate.host import check_serve_host
from serve.replica.protocol import Model


@dataclass(frozen=True)
class HttpSettings:
    """How the HTTP application treats its callers.

    `keys` are those that it takes; without any it answers to addresses and to the domains `hosts`.
    `has_page` puts a page at /, with `examples` to begin with. `log` says where the access log
    goes. `origins` are those of web pages elsewhere that may ask. `ranker` is the cross-encoder as
    clients see it, if there is one. `without_keys` lets other machines ask without keys.
    """

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    keys: ValidKeys = field(default_factory=ValidKeys)
    hosts: tuple[str, ...] = ()
    has_page: bool = True
    examples: tuple[str, ...] = ()
    log: Target = "off"
    origins: tuple[str, ...] = ()
    ranker: Model | None = None
    without_keys: bool = False

    def open_keys(self) -> Keys | None:
        """Return the keys as this process checks them; None if everyone may ask."""
        return Keys(self.keys) if self.keys.are_required else None

    def check_address(self) -> None:
        """Raise ConfigError if other machines may ask without a key.

        For a replica, in which Serve's address is always known.
        """
        check_serve_host(self.keys.are_required, self.without_keys)
