"""A helper that is dead before it has heard anything copies nothing, and says so."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from fsync.storage.copier import Copier


def test_a_helper_that_dies_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def killed(*words: Any, **options: Any) -> Any:
        process = start(*words, **options)
        process.kill()
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", killed)
    copier = Copier((b"/", b"", b"/", b"", "0" * 16, 0o022, 0o666, False))
    assert copier.copy([(b"k", 1, 1)], lambda *_: None) is None
    copier.close()
