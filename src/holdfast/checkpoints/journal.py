"""An append-only record of finished pieces of work, so that a killed job goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holdfast.checkpoints.atomic import parse_json


class Journal:
    """JSON lines: a header that says what the work is, then one ``[key, value]`` a finished piece.

    A journal whose header differs from ``header`` belongs to other work and is started afresh.
    A line torn by a kill, or damaged, is dropped with everything after it.
    """

    def __init__(self, path: str | Path, header: dict[str, Any]) -> None:
        self.path = Path(path)
        self._header = json.dumps(header, sort_keys=True)
        self._entries = self._recover()

    def entries(self) -> dict[str, Any]:
        """Return the finished pieces by key."""
        return dict(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def append(self, key: str, value: Any) -> None:
        """Record one finished piece; it survives a SIGKILL from here on."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, value]) + "\n")
        self._entries[key] = value

    def _recover(self) -> dict[str, Any]:
        lines = self._whole_lines()
        if not lines or lines[0] != self._header:
            lines = [self._header]
        entries: dict[str, Any] = {}
        kept = lines[:1]
        for line in lines[1:]:
            try:
                entry = parse_json(line)
            except ValueError:
                break
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
                break
            entries[entry[0]] = entry[1]
            kept.append(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        return entries

    def _whole_lines(self) -> list[str]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        return text.split("\n")[:-1]
