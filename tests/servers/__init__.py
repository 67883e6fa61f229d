"""Real servers on loopback for tests: one module a server, each with a ``serve(directory)`` context manager."""
