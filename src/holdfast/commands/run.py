"""`holdfast run`: runs the pipeline in the working folder, from wherever Holdfast is installed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.config.load import load_files
from holdfast.errors import HoldfastError, nearest
from holdfast.files.project import CONFIG, default_config, project_root, shipped_configs
from holdfast.settings.run import Settings

HELP = "make tables and figures in ./results"
EPILOG = """
CONFIG is a file, or the name of one that comes with Holdfast; several are laid over the default,
one after the other. Without one, the default runs: the embedded world. TARGET is a table, a figure,
tables, figures, sweeps, export_<arm>, sweep_<arm>, or a file to make; without one, all tables and
figures are made. What follows `--` goes to Snakemake, such as `-n` (say what would be run) or
`--cores 8` (default: all).
"""
SUFFIXES = (".yaml", ".yml", ".json")
# What says by itself how much may run at once.
POOLS = ("-c", "--cores", "-j", "--jobs", "-e", "--executor", "--profile", "--workflow-profile")


class Asked(NamedTuple):
    """What is to be run: config files over the default, targets, and options of Snakemake."""

    configs: list[Path]
    targets: list[str]
    options: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "holdfast run [CONFIG ...] [TARGET ...] [-- SNAKEMAKE OPTIONS]"
    parser.epilog = EPILOG
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def execute(arguments: argparse.Namespace) -> int:
    """Run Snakemake; return its exit code.

    Raises:
        HoldfastError: a config cannot be read or is wrong, or a target is unknown.
    """
    asked = understood(arguments.words, arguments.rest)
    require_targets(asked.targets, load_files([default_config(), *asked.configs]))
    run = subprocess.Popen(command(asked, project_of(Path.cwd())))  # noqa: S603
    while True:
        try:
            return run.wait()
        except KeyboardInterrupt:  # Snakemake got it too, and ends its jobs
            continue


def understood(words: Sequence[str], options: Sequence[str]) -> Asked:
    """Return which words are configs and which targets: configs come first.

    Raises:
        HoldfastError: a config is not there, or stands after a target or among the options.
    """
    shipped, configs, targets = shipped_configs(), [], []
    for word in words:
        if not (word in shipped or word.endswith(SUFFIXES)) or word.startswith("results/"):
            targets.append(word)
        elif targets:
            raise HoldfastError(f"'{word}' is a config: name it before '{targets[0]}'")
        else:
            configs.append(Path(word) if word.endswith(SUFFIXES) else shipped[word])
    for path in configs:
        if not path.is_file():
            hint = nearest(path.stem, shipped) or f"; shipped: {', '.join(shipped)}"
            raise HoldfastError(f"there is no config file {path}{hint}")
    if any(option.startswith("--configfile") for option in options):
        raise HoldfastError("name configs before `--`: `holdfast run mine.yaml -- -n`")
    return Asked(configs, targets, list(options))


def require_targets(targets: Sequence[str], settings: Settings) -> None:
    """Refuse a target that no rule has; a file is left to Snakemake.

    Raises:
        HoldfastError: naming the nearest one and the families.
    """
    known = target_names(settings)
    for target in targets:
        if target not in known and "/" not in target:
            raise HoldfastError(
                f"there is no config and no target '{target}' (targets are"
                f" {', '.join([*settings.tables, *settings.figures])}, all, tables, figures,"
                " sweeps, export_<arm>, sweep_<arm>, preflight, status, or a file)"
                f"{nearest(target, [*known, *shipped_configs()])}"
            )


def target_names(settings: Settings) -> list[str]:
    """Return the names that a run of ``settings`` knows targets by."""
    swept = [name for name, arm in settings.arms.items() if getattr(arm, "sweep", None)]
    return [
        *("all", "tables", "figures", "sweeps", "preflight", "status"),
        *settings.tables,
        *settings.figures,
        *(f"export_{arm}" for arm in settings.arms),
        *(f"sweep_{arm}" for arm in swept),
    ]


def project_of(folder: Path) -> Path:
    """Return the checkout that ``folder`` is, or else where the installed rules lie."""
    rules = folder / "workflow" / "rules"
    is_checkout = (
        rules.is_dir() and (folder / "Snakefile").is_file() and (folder / CONFIG).is_file()
    )
    return folder if is_checkout else project_root()


def command(asked: Asked, project: Path) -> list[str]:
    """Return the call of Snakemake, in which no option can take a target for its value."""
    pool = [] if any(option.startswith(POOLS) for option in asked.options) else ["--cores", "all"]
    configs = ["--configfile", *map(str, asked.configs)] if asked.configs else []
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile")),
        *("--workflow-profile", str(project / "profiles" / "default")),
        *(*pool, *configs, *asked.options, "--", *asked.targets),
    ]
