"""Options of templates and kernels: a type, a default, bounds."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_SCALARS: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}


class Option(BaseModel):
    """One option of a template or a kernel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["int", "float", "bool", "str", "list[int]", "list[float]", "list[str]", "map"]
    """``map``: names to names; its ``choices`` are the names that it may have."""
    default: Any = None
    doc: str
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    choices: list[Any] | None = None
    min_items: int = 1
    """Of a list."""
    quiet: bool = False
    """No part of what a model is while it has its default: adding it to a template makes no table stale."""

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        bounds = {name: bound for name in ("gt", "ge", "lt", "le") if (bound := getattr(self, name)) is not None}
        if self.type == "map":
            known: Any = Literal[tuple(self.choices)] if self.choices else str
            mapping: Any = dict[known, str]
            return TypeAdapter(mapping)
        scalar = _SCALARS[self.type.removeprefix("list[").removesuffix("]")]
        bounded: Any = Annotated[scalar, Field(strict=scalar is not float, **bounds)]
        if self.choices is not None:
            bounded = Literal[tuple(self.choices)]
        if self.type.startswith("list["):
            return TypeAdapter(Annotated[list[bounded], Field(min_length=self.min_items)])
        return TypeAdapter(bounded)

    def check(self, value: Any) -> Any:
        """``value`` in the option's type; ``ValueError`` with a sentence otherwise."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{first['msg']}, found {first['input']!r} ({self.type}: {self.doc})") from None
