"""The house rules that a reader relies on: imports point down, Ray stays at the edges, files stay
small.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "errors": 0,
    "privacy": 0,
    "config": 0,
    "uris": 0,
    "schema": 0,
    "storage": 0,
    "artifact": 0,
    "lineage": 0,
    "tags": 0,
    "matryoshka": 0,
    "progress": 0,
    "plain_yaml": 0,
    "spelling": 0,
    "spread": 0,
    "database": 0,
    "records": 0,
    "data": 1,
    "encoding": 1,
    "search": 1,
    "registry": 1,
    "mining": 2,
    "evaluation": 2,
    "training": 3,
    "finetuning": 4,
    "preflight": 4,
    "custody": 4,
    "tuning": 4,
}
USES_RAY = {
    "spread",
    "progress",
    "search.shards",
    "training.run.worker",
    "training.run.callbacks",
    "training.run.ray_trainer",
    "training.run.rendezvous",
    "training.train",
    "training.run.placement_groups",
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
SOURCES = sorted(
    path for room in ("medembed", "serve", "jobs") for path in (ROOT / room).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, those inside functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def rooms(path: Path) -> set[str]:
    """Rooms of medembed that a file imports from."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("medembed.")}


def test_every_room_has_a_floor():
    found = {
        path.relative_to(ROOT / "medembed").with_suffix("").parts[0]
        for path in SOURCES
        if path.parts[-2:] != ("medembed", "__init__.py")
        and "medembed" in path.relative_to(ROOT).parts[:1]
    }
    assert found == set(FLOORS)


def test_imports_point_down_and_siblings_do_not_import_each_other():
    wrong = []
    for path in SOURCES:
        parts = dotted(path).split(".")
        if parts[0] != "medembed" or len(parts) < 2 or parts[1] == "__init__":
            continue
        for room in rooms(path) - {parts[1]}:
            if FLOORS[room] > FLOORS[parts[1]] or (FLOORS[room] == FLOORS[parts[1]] != 0):
                wrong.append(f"{dotted(path)} imports {room}")
    assert not wrong


def test_serve_imports_only_encoding_search_registry_and_the_ground_floor():
    allowed = {"encoding", "search", "registry"} | {
        room for room, floor in FLOORS.items() if floor == 0
    }
    assert not [
        f"{dotted(path)}: {rooms(path) - allowed}"
        for path in SOURCES
        if dotted(path).startswith("serve") and rooms(path) - allowed
    ]


def test_medembed_imports_neither_jobs_nor_serve():
    for path in SOURCES:
        if dotted(path).startswith("medembed"):
            assert not {name for name in imported(path) if name.split(".")[0] in ("jobs", "serve")}


def test_ray_stays_at_the_edges():
    users = {
        dotted(path).removeprefix("medembed.")
        for path in SOURCES
        if dotted(path).startswith("medembed")
        and any(name.split(".")[0] == "ray" for name in imported(path))
    }
    assert users == USES_RAY


def imported_at_once(path: Path) -> set[str]:
    """Dotted names that a file imports when it is imported itself."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found


def test_no_job_imports_ray_before_the_session_has_set_its_switches():
    files = {dotted(path): path for path in SOURCES}
    direct = {name: imported_at_once(path) for name, path in files.items()}
    waiting, reached = [name for name in files if name.startswith("jobs.")], set[str]()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [other for other in direct[name] if other in files and other not in reached]
    assert "medembed.tuning.tune" in reached
    assert not [name for name in reached if any(one.split(".")[0] == "ray" for one in direct[name])]


def test_package_initialisers_are_empty():
    assert not [path for path in SOURCES if path.name == "__init__.py" and path.read_text().strip()]


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_files_stay_within_300_lines_and_functions_within_50(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"
