import sys
from pathlib import Path

from holdfast.config import load_settings
from holdfast.preflight import preflight
from holdfast.text import tell

failures = preflight(load_settings(snakemake.config, snakemake.params.files), tell)
Path(snakemake.log[0]).write_text("".join(f"{text}\n" for text in failures), encoding="utf-8")
sys.exit(bool(failures))
