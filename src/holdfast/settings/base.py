"""What all settings share, and all records that stages leave for each other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Settings that cannot be changed once read; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Strict(BaseModel):
    """A record that a stage wrote and another reads: as it was written, or refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
