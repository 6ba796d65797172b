"""The base of every section of params.yaml."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError


def _each_once(names: list[str]) -> list[str]:
    if not names or len(set(names)) < len(names):
        raise ValueError("null, or at least one field, each once")
    return names


# Fields by which rows are put together.
Names = Annotated[list[str], AfterValidator(_each_once)]


class Section(BaseModel):
    """One top-level block of params.yaml: unknown keys are refused, `2e-4` is a number, true is none."""

    # Built when it is asked for: a stage has few of its own, and the recipe builds all of them into one.
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, defer_build=True
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _true_is_no_number(cls, value: Any, legal: ValidatorFunctionWrapHandler) -> Any:
        held = legal(value)
        if isinstance(value, bool) and not isinstance(held, bool):
            raise PydanticCustomError("no_number", "a number, not true or false")
        return held
