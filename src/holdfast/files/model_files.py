"""The files of a checkpoint's folder that loading it reads, and whether they are still the same."""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.identity import digests

WEIGHTS = "*.safetensors"
MODEL_FILES = (WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt")
CODE_FILES = ("*.py",)


def wanted(file: str, *, code: bool = False) -> bool:
    """Return whether a model needs this file of its repository: no copies in other formats."""
    patterns = MODEL_FILES + CODE_FILES if code else MODEL_FILES
    if "/" in file or file.startswith("consolidated"):  # the weights once more, in Mistral's form
        return False
    return any(fnmatch(file, pattern) for pattern in patterns)


def model_digests(folder: Path, *, code: bool = False) -> dict[str, str]:
    """Return the SHA-256, by name, of the files that loading a checkpoint's folder reads.

    With ``code``, of its Python files too. OSError where the folder or a file cannot be read.
    """
    files = [path for path in folder.iterdir() if wanted(path.name, code=code) and path.is_file()]
    return {file.name: digest for file, digest in digests(sorted(files)).items()}


def require_same(folder: Path, recorded: dict[str, str], mend: str, *, code: bool = False) -> None:
    """Raise HoldfastError where a checkpoint's files are not those whose digests were recorded.

    ``mend`` says what to do; ``{file}`` in it stands for the name of the first file that differs.
    """
    with suppress(OSError):  # what loads it says what is wrong with the folder itself
        here = model_digests(folder, code=code)
        for name in sorted({*here, *recorded}):
            if here.get(name) != recorded.get(name):
                state = "was added to" if name not in recorded else "was replaced or edited in"
                state = state if name in here else "is no longer in"
                raise HoldfastError(
                    f"{name} {state} {folder} after the run had begun with it:"
                    f" {mend.format(file=name)}"
                )
