"""A server that other machines may reach needs keys, unless it is said aloud that it has none."""

import logging
from types import SimpleNamespace

import pytest
import ray
from ray.serve import context

from medembed.errors import ConfigError
from serve.http.settings import HttpSettings
from serve.operate.safety import check_host, check_serve_host
from tests.serve.conftest import keys_of


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
def test_an_address_that_other_machines_reach_needs_keys_or_a_word_for_it(host: str):
    with pytest.raises(
        ConfigError, match=f"host: {host} is open to other machines.*or say without_keys=true"
    ):
        check_host(host, has_keys=False)
    assert check_host(host, has_keys=True)
    assert check_host(host, has_keys=False, without_keys=True)
    assert not check_host("127.0.0.2", has_keys=False)


def serve_on(host: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has Serve run on this address, or not at all."""
    client = None if host is None else SimpleNamespace(http_config=SimpleNamespace(host=host))
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(
        context, "_get_global_client", lambda raise_if_no_controller_running: client
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "2001:db8::1", "head.example.org"])
def test_a_deployment_without_keys_on_a_serve_that_other_machines_reach_is_refused_unless_told(
    host: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    serve_on(host, monkeypatch)
    with pytest.raises(ConfigError, match=f"http_options.host: {host} is open to other machines"):
        check_serve_host(has_keys=False, without_keys=False)
    with pytest.raises(ConfigError, match="set keys.file or keys.variable"):
        HttpSettings().check_address()
    HttpSettings(keys=keys_of("0" * 64)).check_address()
    with caplog.at_level(logging.WARNING):
        HttpSettings(without_keys=True).check_address()
    assert f"{host} is open to other machines, and this server has no keys" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", None])
def test_what_this_machine_alone_reaches_needs_none(
    host: str | None, monkeypatch: pytest.MonkeyPatch
):
    serve_on(host, monkeypatch)
    check_serve_host(has_keys=False, without_keys=False)
