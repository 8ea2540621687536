"""Base of the nodes of models.yaml."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...])]
"""One name or a list of them."""


class Node(BaseModel):
    """Base of every YAML node: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


def cron(value: str) -> str:
    """The cron expression, if its times come."""
    from croniter import CroniterError, croniter

    try:
        _ = croniter(value).get_prev(), croniter(value).get_next()
    except CroniterError as error:
        why = "a time that never comes" if croniter.is_valid(value) else "not a cron expression"
        raise ValueError(f"{why}; an example: '*/15 * * * *' (every 15 minutes)") from error
    return value
