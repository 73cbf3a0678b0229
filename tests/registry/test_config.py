import shlex

from medembed.config import load_config
from medembed.registry.config import RegistryConfig, command


def test_the_next_command_names_the_registry_and_is_read_back_by_a_shell_as_it_is():
    registry = RegistryConfig(workspace="notes #1/it's", model_name="cardio")
    printed = command(registry, "promote", "model=models:/cardio/1")
    name, *arguments = shlex.split(printed)
    assert (name, arguments[:2]) == ("medembed", ["promote", "model=models:/cardio/1"])
    own = [argument.removeprefix("registry.") for argument in arguments[2:]]
    assert load_config(RegistryConfig, own) == registry


def test_the_next_command_leaves_out_what_is_default_and_masks_a_password():
    assert command(RegistryConfig(), "models") == "medembed models"
    registry = RegistryConfig(tracking_uri="http://user:secret@host/m")
    assert "secret" not in command(registry, "models")
