"""`holdfast init`: writes a config to start from, for a model of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from holdfast.errors import HoldfastError

HELP = "write a config to start from, for your own model"
TEMPLATE = Path(__file__).with_name("start.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",
        default=Path("mine.yaml"),
        help="file to write (default: mine.yaml)",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Write the config, and say what to do with it."""
    write_start(arguments.path)
    print(f"{arguments.path} is written: edit it, then `holdfast run {arguments.path} -- -n`")
    return 0


def write_start(path: Path) -> None:
    """Write the commented config to ``path``.

    Raises:
        HoldfastError: something of that name is there, or nothing can be written there.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise HoldfastError(
            f"{path} is there already and is left as it is; name another file"
        ) from None
    except OSError as error:
        raise HoldfastError(f"{path} cannot be written: {error.strerror}") from None
