"""The base of every section of params.yaml."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One top-level block of params.yaml: unknown keys are refused, numbers written as `2e-4` are numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
