"""Where the project's own files lie: rules, configs, profiles, environments, published numbers."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CONFIG = Path("config", "config.yaml")


def project_root() -> Path:
    """Return the folder of the Snakefile: within an installed wheel, or else the checkout."""
    installed = PACKAGE / "_project"
    return installed if installed.is_dir() else PACKAGE.parents[1]


def default_config() -> str:
    """Return the path of the default config: the working folder's own, or else the project's."""
    return str(CONFIG if CONFIG.exists() else project_root() / CONFIG)


def shipped_configs() -> dict[str, Path]:
    """Return by name the configs that come with Holdfast, to be laid over the default."""
    folder = project_root() / CONFIG.parent
    return {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.name != CONFIG.name}
