"""Holdfast's command line: a file a command in ``holdfast.commands``."""

from __future__ import annotations

import argparse
import sys

from holdfast.commands import adopt, init, preflight, run, show, status
from holdfast.errors import HoldfastError

COMMANDS = {
    "run": run,
    "init": init,
    "preflight": preflight,
    "status": status,
    "show": show,
    "adopt": adopt,
}


def main() -> None:
    """Run the command line; a mistake ends with one sentence and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="holdfast",
        description="Does a language model's safety hold when it is perturbed, and which repair"
        " helps?",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.HELP))
    words, rest = sys.argv[1:], []
    if words[:1] == ["run"] and "--" in words:
        at = words.index("--")
        words, rest = words[:at], words[at + 1 :]
    arguments = parser.parse_args(words)
    arguments.rest = rest
    try:
        code = COMMANDS[arguments.command].execute(arguments)
    except HoldfastError as error:
        sys.exit(f"holdfast: {error}")
    sys.exit(code)


if __name__ == "__main__":
    main()
