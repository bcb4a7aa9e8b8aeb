from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.jobs.status import status

try:
    text = status(Path(snakemake.params.results))
except HoldfastError as error:
    text = f"holdfast: {error}"
print(text)
Path(snakemake.log[0]).write_text(f"{text}\n", encoding="utf-8")
