"""Lists the modules of a model folder, and the files that loading reads of each."""

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medembed.errors import ModelError

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
_TRANSFORMER = "sentence_transformers.base.modules.Transformer"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# What tokenizers of transformers 5.23 call their vocabularies.
_VOCABULARIES = (
    "tokenizer.json",
    "vocab*.json",
    "vocab*.txt",
    "merges.txt",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
    "*.codes",
    "dict.txt",
    "entity_vocab.json",
    "emoji.json",
    "byte_maps.json",
)
_READ_BYTES = {"ByT5Tokenizer", "CanineTokenizer"}  # tokenizers without a vocabulary
# What else the modules of sentence-transformers 6.2 read, of those that work here.
_SETTINGS = (
    "config.json",
    "sentence_*_config.json",
    "router_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "processor_config.json",
    "preprocessor_config.json",
    "*.jinja",
    *_VOCABULARIES,
)
_SHARED_SETTINGS = ("modules.json", "config_sentence_transformers.json")
# The settings without which a module cannot be made. Of other modules a folder may be missing: Git
# keeps no empty one.
_NEEDED = {
    "Transformer": "config.json",
    "Pooling": "config.json",
    "WeightedLayerPooling": "config.json",
    "Dense": "config.json",
    "LayerNorm": "config.json",
    "LogitScore": "config.json",
    "StaticEmbedding": "tokenizer.json",
}
_WITH_WEIGHTS = {*_NEEDED} - {"Pooling", "LogitScore"}
# Keys by which a module would load other files than those that are checked and hashed here.
_ELSEWHERE = {
    "tokenizer_name_or_path",
    "transformers_weights",
    "variant",
    "gguf_file",
    "subfolder",
    "tokenizer_file",
    "vocab_file",
}


@dataclass(frozen=True)
class Module:
    """A module of the model in `root`: its path below, "" for the model's own, and its class."""

    root: Path
    path: str
    type: str

    @property
    def kind(self) -> str:
        """The name of its class."""
        return self.type.rpartition(".")[2]

    @property
    def folder(self) -> Path:
        return self.root / self.path

    @property
    def weights(self) -> list[Path]:
        """The safetensors files that loading reads. Raises ModelError if there are none."""
        if (self.folder / WEIGHTS).is_file():
            return [self.folder / WEIGHTS]
        if (self.folder / INDEX).is_file():
            return self._shards()
        pickles = sorted(path.name for path in self.folder.glob("*") if path.suffix in PICKLES)
        if pickles:
            raise ModelError(
                "{folder}: found pickle weights ({pickles}) and no model.safetensors beside them; "
                "a pickle can run any code: save the model again with model.save_pretrained(...).",
                folder=self.folder,
                pickles=", ".join(pickles[:3]),
            )
        if self.kind in _WITH_WEIGHTS:
            raise ModelError(
                "{folder}: no .safetensors weights there; expected model.safetensors.",
                folder=self.folder,
            )
        return []

    @property
    def settings(self) -> list[Path]:
        """The other files that loading reads, sorted."""
        return _matching(self.folder, _SETTINGS)

    def _shards(self) -> list[Path]:
        path = self.folder / INDEX
        index = read_json(path)
        parts = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(parts, dict) or not parts:
            raise ModelError("{path}: no weight_map; the model folder is damaged.", path=path)
        names = sorted(set(map(str, parts.values())))
        missing = []
        for name in names:
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(
                    "{path}: names {name!r}; expected .safetensors files beside it.",
                    path=path,
                    name=name,
                )
            if not (self.folder / name).is_file():
                missing.append(name)
        if missing:
            raise ModelError(
                "{path}: {count} of the {total} files that it names are not there "
                "({missing}); copy the whole model.",
                path=path,
                count=len(missing),
                total=len(names),
                missing=missing[0],
            )
        return [self.folder / name for name in names]


def is_plain_transformer(folder: Path) -> bool:
    """Return whether a model is a plain transformer, which was never trained for vectors."""
    return not (folder / "modules.json").is_file()


def list_modules(folder: Path) -> list[Module]:
    """Return the modules of a model in order, a router's own in its place.

    Raises ModelError for a folder that holds none.
    """
    if (folder / "modules.json").is_file():
        named = read_json(folder / "modules.json")
        entries = named if isinstance(named, list) else []
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise ModelError(
                "{folder}/modules.json: expected a list of modules; the model folder is damaged.",
                folder=folder,
            )
        places = [(str(entry.get("path", "")), str(entry.get("type", ""))) for entry in entries]
    elif (folder / "config.json").is_file():
        # a plain transformer, to which sentence-transformers adds a pooling
        places = [("", _TRANSFORMER)]
    else:
        raise ModelError(
            "{folder}: no modules.json or config.json there; expected a "
            "sentence-transformers folder.",
            folder=folder,
        )
    modules: list[Module] = []
    for path, type_ in places:
        modules += _expand(folder, path, type_)
    return modules


def shared_settings(folder: Path) -> list[Path]:
    """Return the settings of the model as a whole: its modules and prompts."""
    return _matching(folder, _SHARED_SETTINGS)


def check_settings(module: Module) -> None:
    """Raise ModelError for a module without the settings, or the vocabulary, that it needs."""
    needed = _NEEDED.get(module.kind)
    if needed and not (module.folder / needed).is_file():
        raise ModelError(
            "{folder}: no {needed} there, which modules.json asks for; copy the whole model.",
            folder=module.folder,
            needed=needed,
        )
    if module.kind != "Transformer":
        return
    if (module.folder / "adapter_config.json").is_file():
        raise ModelError(
            "{folder}: holds an adapter of another model; merge it into that model and save both.",
            folder=module.folder,
        )
    if not _matching(module.folder, _VOCABULARIES) and not _reads_bytes(module):
        raise ModelError(
            "{folder}: no tokenizer there (tokenizer.json, vocab.txt, *.model, ...): every "
            "text would become [UNK]; copy the whole model, or save its tokenizer with "
            "tokenizer.save_pretrained(...).",
            folder=module.folder,
        )
    for path in module.settings:
        if path.name == "config.json" or fnmatch.fnmatch(path.name, "sentence_*_config.json"):
            _check_keys(path)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a file's name fits one of these patterns."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def check_file(path: Path) -> None:
    """Raise ModelError for a file that is empty, or a pointer of Git LFS."""
    with path.open("rb") as stream:
        begin = stream.read(len(_LFS_POINTER))
    if not begin:
        raise ModelError("{path}: empty; copy the whole model.", path=path)
    if begin == _LFS_POINTER:
        raise ModelError(
            "{path}: a Git LFS pointer, not the file itself; fetch it with git lfs pull.", path=path
        )


def read_json(path: Path) -> Any:
    """Return a JSON file's content, None without the file. Raises ModelError if it is damaged."""
    if not path.is_file():
        return None
    check_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ModelError("{path}: not JSON; the model folder is damaged.", path=path) from None


def _expand(folder: Path, path: str, type_: str) -> list[Module]:
    """Return the module in a folder; of a router, those that it leads to as well."""
    if path.startswith("/") or ".." in Path(path).parts:
        raise ModelError(
            "{folder}/modules.json: names the folder {path!r}; expected one below the model's own.",
            folder=folder,
            path=path,
        )
    module = Module(folder, Path(path).as_posix().removeprefix("."), type_)
    if module.kind not in ("Router", "Asym"):
        return [module]
    routes = read_json(module.folder / "router_config.json") or read_json(
        module.folder / "config.json"
    )
    types = routes.get("types") if isinstance(routes, dict) else None
    if not isinstance(types, dict):
        raise ModelError(
            "{folder}: no router_config.json that lists its modules; copy the whole model.",
            folder=module.folder,
        )
    modules = [module]
    for below, type_below in types.items():
        modules += _expand(folder, f"{path}/{below}" if path else str(below), str(type_below))
    return modules


def _check_keys(path: Path) -> None:
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise ModelError(
            "{path}: expected keys and values; the model folder is damaged.", path=path
        )
    if "quantization_config" in settings:
        raise ModelError(
            "{path}: the weights are quantised (quantization_config); take the model's float "
            "weights.",
            path=path,
        )
    leading: set[str] = set()
    for values in (settings, *settings.values()):
        if isinstance(values, dict):
            leading.update(filter(values.get, _ELSEWHERE))
    if leading:
        raise ModelError(
            "{path}: {key} leads to other files; save the model again with "
            "model.save_pretrained(...).",
            path=path,
            key=min(leading),
        )


def _reads_bytes(module: Module) -> bool:
    settings = read_json(module.folder / "tokenizer_config.json")
    return isinstance(settings, dict) and settings.get("tokenizer_class") in _READ_BYTES


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    paths = sorted(folder.glob("*"))
    return [path for path in paths if path.is_file() and matches(path.name, patterns)]
