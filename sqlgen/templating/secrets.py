"""Secrets that models.yaml takes from the environment: written nowhere, in no message and no file of text."""

from __future__ import annotations

import json
import re
import sys
from typing import Any
from urllib.parse import quote

SECRET = re.compile(
    r"secret|token|passw|passphrase|credential|private|(^|_)(key|pwd|auth|signature)(_|$)", re.IGNORECASE
)
"""Names of variables whose values are secrets."""
SHORTEST = 6
"""Fewest characters of a secret: shorter ones would be found in texts that have nothing to do with them."""
_TEXTS: dict[str, str] = {}
"""Forms in which secrets may stand in a text -> what is shown instead."""


def keep(name: str, value: str) -> None:
    """Hide a value in all that is written from now on."""
    forms = (value, value.replace("'", "''"), json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe=""))
    shown = f"${{{name}}}"
    _TEXTS.update(dict.fromkeys((*forms, *(re.sub(r"\s+", " ", form) for form in forms)), shown))


def show_as(text: str, shown: str) -> None:
    """Write another text in place of one that means nothing to people, in all that is written from now on."""
    _TEXTS[text] = shown


def hidden(value: Any) -> Any:
    """A text, or all texts in lists and dictionaries, with the names of secrets instead of their values."""
    if not _TEXTS:
        return value
    if isinstance(value, str):
        for text in sorted(_TEXTS, key=len, reverse=True):
            value = value.replace(text, _TEXTS[text])
        return value
    if isinstance(value, dict):
        return {hidden(key): hidden(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(hidden, value))
    return value


def secret_in(text: str) -> bool:
    """True if the value of a secret stands in a text."""
    return any(form in text for form, shown in _TEXTS.items() if shown.startswith("${"))


class _Hiding:
    """A stream of text that writes no secrets."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(hidden(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def hide_output() -> None:
    """Hide secrets in what this process prints."""
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, _Hiding) else _Hiding(stream) for stream in (sys.stdout, sys.stderr)
    )
