"""Writes the seeds of every fuzz target: `python -m fuzzlib FOLDER`, in the clone."""

import sys
from pathlib import Path

from fuzzlib.seeds import seeds, write

write(seeds(Path("docs/vectors")), Path(sys.argv[1]))
