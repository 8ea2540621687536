"""Templates that extend others: their headers, and what would be passed over without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jinja2 import Environment, nodes

from sqlgen.errors import nearest
from sqlgen.templating.header import Header

SHIPPED = "shipped/"
"""Prefix of a packaged template's name that a project's own template of the same name does not hide."""
_EXTENDS = re.compile(r"""\{%-?\s*extends\s+(["'])(?P<name>[^"']+)\1\s*-?%\}""")


def extended(text: str) -> str | None:
    """Name of the template that a text extends; ``None`` if it extends none."""
    found = _EXTENDS.search(text)
    return found["name"] if found else None


def merged(parent: Header, own: Header) -> Header:
    """Header of a template that extends another: what it does not say itself is the other's."""
    said = {name: getattr(own, name) for name in own.model_fields_set}
    said |= {"options": parent.options | own.options, "tags": parent.tags | own.tags}
    return parent.model_copy(update=said)


def blocks(environment: Environment, text: str) -> list[str]:
    """Blocks of a template."""
    return [block.name for block in environment.parse(text).find_all(nodes.Block)]


def faults(environment: Environment, text: str, known: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Line and text of each problem of a template that extends another with the blocks ``known``."""
    for node in environment.parse(text).body:
        if isinstance(node, nodes.Block) and node.name not in known:
            has = f"It has: {', '.join(dict.fromkeys(known))}" if known else "It has none"
            yield node.lineno, f"the extended template has no block '{node.name}'.{nearest(node.name, known)} {has}"
        elif isinstance(node, nodes.Output):
            for part in node.nodes:
                if not isinstance(part, nodes.TemplateData) or part.data.strip():
                    yield part.lineno, "text outside of blocks is not used. Write it into a block"
