"""Fill docs/architecture.md in: the files of every room, and what may import what.

The page's own words stay; only what stands between ``<!-- files: room -->`` or ``<!-- floors -->``
and ``<!-- end -->`` is written, from the first paragraph of each module's docstring and from the
contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "src" / "holdfast"
GROUND = "."  # the room of the modules that lie in none
BLOCK = re.compile(r"<!-- (files: (?P<room>\S+)|floors) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)


def rooms() -> dict[str, list[Path]]:
    """Return the modules of each room by its folder's name, without ``__init__``."""
    modules: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if path.name != "__init__.py":
            room = inside.parts[0] if len(inside.parts) > 1 else GROUND
            modules.setdefault(room, []).append(path)
    return modules


def page(text: str) -> str:
    """Return ``text`` with every list in it made anew.

    Raises:
        SystemExit: a room has no place in ``text``, a place is for no room, or a module has no
            docstring to take a phrase from.
    """
    modules = rooms()
    placed = [block["room"] for block in BLOCK.finditer(text) if block["room"]]
    if problems := list(_differences(sorted(modules), sorted(placed))):
        raise SystemExit(f"{PAGE.name}: " + "; ".join(problems))

    def filled(block: re.Match[str]) -> str:
        room = block["room"]
        lines = _files(room, modules[room]) if room else _floors()
        return "\n".join([f"<!-- {block[1]} -->", "", *lines, "", "<!-- end -->"])

    return BLOCK.sub(filled, text)


def _differences(modules: list[str], placed: list[str]) -> Iterator[str]:
    for room in modules:
        if placed.count(room) != 1:
            yield f"`<!-- files: {room} -->` must stand in it once, not {placed.count(room)} times"
    for room in placed:
        if room not in modules:
            yield f"there is no room '{room}' in src/holdfast"


def _files(room: str, paths: list[Path]) -> Iterator[str]:
    yield "| file | what it is |"
    yield "|---|---|"
    base = PACKAGE / room
    # A room's own files come before those of the rooms inside it.
    for path in sorted(paths, key=lambda path: (path.relative_to(base).parts[:-1], path.name)):
        yield f"| `{path.relative_to(base).as_posix()}` | {_phrase(path)} |"


def _phrase(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise SystemExit(f"{path.relative_to(ROOT)} has no docstring")
    words = " ".join(docstring.split("\n\n")[0].split()).removesuffix(".")
    words = re.sub(r":\w+:(?=`)", "", words).replace("``", "`")
    return words.replace("|", r"\|")


def _floors() -> Iterator[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for number, contract in enumerate(contracts["tool"]["importlinter"]["contracts"]):
        yield from [""] * bool(number)
        yield f"{contract['name']} (`{', '.join(contract['containers'])}`):"
        yield from ("", "```text", *contract["layers"], "```")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
