"""Include and exclude rules: which keys of a listing exist for a run.

*Layered* (default): for ``a/b/c`` the strings ``a``, ``a/b``, ``a/b/c`` are tried in turn, a directory's as ``a/`` for
rules that end in ``/`` or ``/***``; at each level the first rule that matches decides, an exclude drops the key, and
what passes every level is kept. A level whose name is empty (``a//b``) is not tried. *Full path*: only the whole key
is tried, once. Includes alone keep everything.

Layered mode also knows what people mean by ``--include pic/ --include 4.png --exclude '*'``: an include that ends in
``/`` and has no wildcard keeps the directory's content against ``*`` and ``**``, unless another include before that
exclude has a wildcard or names something below the directory.

The language of the patterns is described in :mod:`fsync.filters.pattern`.
"""

from __future__ import annotations

from fsync.filters.rules import Rules

__all__ = ["Rules"]
