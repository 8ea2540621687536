"""Options of templates and kernels: a type, a default, bounds."""

from __future__ import annotations

import datetime as dt
from functools import cache, cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

_SCALARS: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}


def _as_text(value: Any) -> Any:
    """A number as its text: YAML makes numbers of codes and volumes that are written without quotes."""
    if isinstance(value, bool | dt.date):
        raise ValueError("it is meant as text. Write it in quotes")
    return str(value) if isinstance(value, int | float) else value


def _as_list(value: Any) -> Any:
    """A single value as a list of one."""
    return [value] if isinstance(value, str | int | float) else value


_TEXT = BeforeValidator(_as_text)
_LIST = BeforeValidator(_as_list)


@cache
def _adapter(
    kind: str, bounds: tuple[tuple[str, float], ...], choices: tuple[Any, ...] | None, min_items: int
) -> TypeAdapter[Any]:
    """Validator of values and lists of values; most options are alike, and building one takes longer than its use."""
    scalar = _SCALARS[kind.removeprefix("list[").removesuffix("]")]
    limits: dict[str, Any] = {**dict(bounds), **({"allow_inf_nan": False} if scalar is float else {})}
    bounded: Any = Annotated[scalar, Field(strict=scalar is not float, **limits)]
    if choices is not None:
        bounded = Literal[choices]
    if scalar is str:
        bounded = Annotated[bounded, _TEXT]
    if kind.startswith("list["):
        return TypeAdapter(Annotated[list[bounded], Field(min_length=min_items), _LIST])
    return TypeAdapter(bounded)


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
    several: list[str] = []
    """Keys of a map that take a list of names."""
    min_items: int = 1
    """Fewest items of a list."""
    nullable: bool = False
    """``null`` in models.yaml, NULL in SQL, is a value too: for example no limit."""
    quiet: bool = False
    """No part of what a model is while it has its default: adding it to a template makes no table stale."""

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        if self.type == "map":
            known: Any = Literal[tuple(self.choices)] if self.choices else str
            name: Any = Annotated[str, _TEXT]
            mapping: Any = Annotated[dict[known, name | list[name]], AfterValidator(self._lists)]
            return TypeAdapter(mapping)
        bounds = tuple((name, bound) for name in ("gt", "ge", "lt", "le") if (bound := getattr(self, name)) is not None)
        return _adapter(self.type, bounds, tuple(self.choices) if self.choices is not None else None, self.min_items)

    def _lists(self, found: dict[str, Any]) -> dict[str, Any]:
        for name, value in found.items():
            if not isinstance(value, str) and (name not in self.several or not value):
                raise ValueError(f"'{name}' must be one name")
        return found

    def check(self, value: Any) -> Any:
        """``value`` in the option's type; ``ValueError`` with a sentence otherwise."""
        if value is None and self.nullable:
            return None
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            message = str(first.get("ctx", {}).get("error", first["msg"]))
            raise ValueError(f"{message}, found {first['input']!r:.200} ({self.type}: {self.doc})") from None
