"""``python -m fsync``."""

from __future__ import annotations

import sys

from fsync.cli import main

if __name__ == "__main__":
    sys.exit(main())
