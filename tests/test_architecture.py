"""The house as the design lays it out: imports point downwards, no circles, short files that say what they are for."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import teachwhy

HOUSE = Path(teachwhy.__file__).parent
ROOMS = (
    "data",
    "models",
    "train",
    "evals",
    "report",
    "study",
    "generate",
    "inspect",
)  # from the ground up; each may use those before it
GROUND = ("errors", "redact", "text", "policy", "stats")
ROOF = ("cli", "cli_data", "cli_generate", "inspect_tasks", "progress", "__init__", "__main__")
HEAVY = {"torch", "transformers", "peft", "trl", "scipy", "matplotlib", "inspect_ai", "ray", "datasets", "accelerate"}
# Decorators and classes of Inspect that must be there when it looks for them.
FOR_INSPECT = {
    Path("inspect_tasks.py"),
    *(Path("inspect", f"{name}.py") for name in ("agents", "plainly", "provider", "scoring", "solving", "tool_text")),
}
LONGEST_FILE = 500
TRL_TRAINERS = {Path("train/preference.py"), Path("train/reinforce.py")}
SUBCLASSING = {Path("train/supervised.py"), Path("models/roomy_cache.py"), *TRL_TRAINERS}

FILES = sorted(path.relative_to(HOUSE) for path in HOUSE.rglob("*.py"))


def level(file: Path) -> int:
    """How high in the house a file stands."""
    room = file.parts[0].removesuffix(".py")
    return 0 if room in GROUND else len(ROOMS) + 1 if room in ROOF else ROOMS.index(room) + 1


def parsed(file: Path) -> ast.Module:
    return ast.parse((HOUSE / file).read_text(encoding="utf-8"))


@cache
def imports(file: Path) -> frozenset[Path]:
    """Files of the house that a file imports anywhere in it, also inside functions."""
    found = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ImportFrom):
            found |= targets(file, node)
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".")[1:] for alias in node.names if alias.name.split(".")[0] == "teachwhy"]
            found |= {target for name in names if (target := file_of(Path(*name)))}
    return frozenset(found)


def targets(file: Path, node: ast.ImportFrom) -> set[Path]:
    """Files of the house that one `from ... import ...` names."""
    module = (node.module or "").split(".") if node.module else []
    if node.level:
        start = file.parent.parts[: len(file.parent.parts) - node.level + 1]
    elif module[0] == "teachwhy":
        start, module = (), module[1:]
    else:
        return set()
    place = Path(*start, *module)
    return {target for alias in node.names if (target := file_of(place / alias.name) or file_of(place))}


def file_of(place: Path) -> Path | None:
    for candidate in (place.with_suffix(".py") if place.name else place, place / "__init__.py"):
        if candidate in FILES:
            return candidate
    return None


def test_the_test_sees_the_imports_it_is_about():
    assert Path("models/__init__.py") in imports(Path("evals/runner.py"))
    assert Path("report/wording.py") in imports(Path("report/page.py"))
    assert Path("study/__init__.py") in imports(Path("cli.py")), "an import inside a function"
    assert Path("errors.py") in imports(Path("models/cache.py")), "an import by the full name"
    assert sum(len(imports(file)) for file in FILES) > 100


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_import_points_from_a_lower_room_to_a_higher_one(file):
    higher = [str(target) for target in imports(file) if level(target) > level(file)]
    assert not higher, f"{file} imports from above: {higher}"


def test_no_file_imports_itself_in_a_circle():
    try:
        TopologicalSorter({file: imports(file) for file in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(map(str, error.args[1])))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_each_file_says_in_its_first_line_what_it_is_for(file):
    docstring = ast.get_docstring(parsed(file))
    assert docstring, f"{file} has no docstring at its top"
    assert docstring.splitlines()[0].rstrip().endswith((".", ":")), docstring


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_file_is_long(file):
    assert len((HOUSE / file).read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_every_room_has_a_front_door():
    folders = {file.parent for file in FILES if file.parent.name}
    inner = {"data/exchange", "evals/honeypots", "study/stages", "study/executors"}
    inner |= {"generate/health", "generate/stages"}
    assert {folder.as_posix() for folder in folders} == {*ROOMS, "stats", *inner}
    assert all(folder / "__init__.py" in FILES for folder in folders)


def test_heavy_libraries_are_imported_where_they_are_used():
    """Only files that subclass a library's class may, and they are themselves imported inside functions."""
    for file in FILES:
        top = [node for node in parsed(file).body if isinstance(node, ast.Import | ast.ImportFrom)]
        named = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        named += [node.module or "" for node in top if isinstance(node, ast.ImportFrom) and not node.level]
        heavy = {name.split(".")[0] for name in named} & HEAVY
        assert not heavy or file in SUBCLASSING or (heavy == {"inspect_ai"} and file in FOR_INSPECT), (
            f"{file} imports {heavy} at its top"
        )


def test_what_is_for_inspect_is_imported_by_inspect_or_inside_functions():
    """So that `import teachwhy` and the command line are free of it."""
    for file in FILES:
        if file in FOR_INSPECT:
            continue
        top = {alias for node in parsed(file).body if isinstance(node, ast.ImportFrom) for alias in targets(file, node)}
        assert not top & FOR_INSPECT, f"{file} imports {top & FOR_INSPECT} at its top"


def test_nothing_personal_is_left_in_the_files():
    machine = re.compile(r"/(home|root|tmp|work|Users)/\w")
    for file in FILES:
        assert not machine.search((HOUSE / file).read_text(encoding="utf-8")), file
