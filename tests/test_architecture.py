"""The house rules that a reader relies on: imports point down and never in a circle, Ray stays at
the edges, files and functions stay small.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A room imports from the floors below its own. The files in medembed/ itself are the ground floor,
# and may import each other.
FLOORS = (
    {"data", "encoding", "registry", "search"},
    {"evaluation", "mining", "tables"},
    {"training"},
    {"custody", "distillation", "finetuning", "preflight", "quantization", "tuning"},
)
USES_RAY = {
    "spread",
    "progress",
    "search.shards",
    "training.run.worker",
    "training.run.callbacks",
    "training.run.fit",
    "training.run.private_ray_train",
    "training.run.rendezvous",
    "finetuning.lock",
    "tuning.search",
    "tuning.trial",
    "tuning.rung_callback",
    "tuning.capacity",
    "tuning.bookkeeping",
    "tuning.tune",
    "preflight.resources",
    "preflight.train_probe",
}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


FILES = [path for folder in ("medembed", "serve", "jobs") for path in (ROOT / folder).rglob("*.py")]
SOURCES = {dotted(path): path for path in sorted(FILES)}
OF_MEDEMBED = [name for name in SOURCES if name.startswith("medembed.")]


def names_of_import(node: ast.AST) -> set[str]:
    """Return the dotted names that a statement imports: modules, and what may be one in them."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


@cache
def imports(name: str) -> set[str]:
    """Return the dotted names that a file imports, those inside functions included."""
    tree = ast.parse(SOURCES[name].read_text())
    return set[str]().union(*map(names_of_import, ast.walk(tree)))


def imports_at_once(name: str) -> set[str]:
    """Return the dotted names that a file imports as soon as it is imported itself."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(SOURCES[name].read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        names |= names_of_import(node)
        waiting += ast.iter_child_nodes(node)
    return names


def top(name: str) -> str:
    return name.split(".")[0]


def rooms(name: str) -> set[str]:
    """Return the rooms of medembed that a file imports from."""
    return {other.split(".")[1] for other in imports(name) if other.startswith("medembed.")}


def floor(room: str) -> int:
    """Return a room's floor, 0 for a file of the ground floor."""
    if f"medembed.{room}" in SOURCES:
        return 0
    return 1 + next(number for number, names in enumerate(FLOORS) if room in names)


def test_every_folder_of_medembed_has_a_floor():
    folders = {path.name for path in (ROOT / "medembed").iterdir() if any(path.glob("*.py"))}
    assert folders == set[str]().union(*FLOORS)


@pytest.mark.parametrize("name", OF_MEDEMBED)
def test_imports_point_down_and_rooms_of_one_floor_do_not_import_each_other(name: str):
    room = name.split(".")[1]
    for other in rooms(name) - {room}:
        assert floor(other) < floor(room) or floor(other) == floor(room) == 0, other


def test_no_files_import_each_other_in_a_circle():
    graph = {name: imports(name) & SOURCES.keys() for name in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports in a circle: " + " <- ".join(error.args[1]))


def test_serve_imports_only_encoding_search_registry_and_the_ground_floor():
    for name in SOURCES:
        if top(name) == "serve":
            above = {room for room in rooms(name) if floor(room) > 0}
            assert above <= {"encoding", "search", "registry"}, name


def test_medembed_imports_neither_jobs_nor_serve():
    for name in OF_MEDEMBED:
        assert not {"jobs", "serve"} & set(map(top, imports(name))), name


def test_ray_stays_at_the_edges():
    users = {name for name in OF_MEDEMBED if "ray" in map(top, imports(name))}
    assert users == {f"medembed.{name}" for name in USES_RAY}


def test_no_job_imports_ray_before_the_session_has_set_its_switches():
    waiting = [name for name in SOURCES if top(name) == "jobs"]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        names = imports_at_once(name)
        assert "ray" not in map(top, names), name
        reached.add(name)
        waiting += names & SOURCES.keys() - reached
    assert "medembed.tuning.tune" in reached


def test_package_initialisers_are_empty():
    assert not [path for path in (ROOT / "medembed").rglob("__init__.py") if path.read_text()]


@pytest.mark.parametrize("name", SOURCES)
def test_files_and_functions_stay_small_and_nothing_is_formatted_by_hand(name: str):
    text = SOURCES[name].read_text()
    file_lines = text.count("\n")
    assert file_lines <= MAX_FILE_LINES
    assert "fmt: " not in text
    for node in ast.walk(ast.parse(text)):
        assert len(getattr(node, "generators", ())) <= 1, f"line {node.lineno}: two `for`"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"
