"""The pipelines of `examples/`, whose tables these revisions make and change."""

import sys
from pathlib import Path

from compdb import migrate

sys.path.insert(0, str(Path(__file__).parent.parent))
migrate.run("examples.blob_detection:Lab", "examples.sessions:Lab")
