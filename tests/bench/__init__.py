"""The race: fsync and its peers at the same jobs on the same machine, ``python -m tests.bench``."""
