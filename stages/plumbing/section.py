"""The base of every section of params.yaml."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One top-level block of params.yaml: unknown keys are refused, numbers written as `2e-4` are numbers."""

    # Built when it is asked for: a stage has few of its own, and the recipe builds all of them into one.
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, defer_build=True
    )
