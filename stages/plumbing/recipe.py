"""A whole recipe: every section of params.yaml, and what must hold between them."""

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from stages.lib.adapters import Tuned
from stages.lib.augmentation import Augmentation
from stages.lib.expectations import Expectations
from stages.lib.gate import Gate
from stages.lib.generation import Generation
from stages.lib.lora import Lora
from stages.lib.merging import Merge
from stages.lib.methods import Adapter
from stages.lib.metrics import Metrics
from stages.lib.models import Model
from stages.lib.prompts import Prompt, Template, chosen, fields_of
from stages.lib.quantization import Quantization
from stages.lib.report import Report
from stages.lib.rules import Clean
from stages.lib.shards import Shard
from stages.lib.sides import Split
from stages.lib.source import Source
from stages.lib.training import Train


class Recipe(BaseModel):
    """The whole of params.yaml; an unknown section or key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Source
    clean: Clean
    expectations: Expectations
    shard: Shard
    split: Split
    augmentation: Augmentation
    prompt: Prompt
    model: Model
    quantization: Quantization
    adapter: Adapter
    lora: Lora
    train: Train
    tuned: Tuned
    generation: Generation
    metrics: Metrics
    gate: Gate
    merge: Merge
    report: Report

    @model_validator(mode="after")
    def _the_prompt_uses_fields_of_the_source(self) -> Self:
        fields, known = fields_of(chosen(self.prompt)), list(self.source.columns.inputs)
        unknown = [name for name in fields if name not in known]
        if unknown:
            asked = ", ".join(name or "{}" for name in unknown)
            raise ValueError(
                f"fields of source.columns.inputs ({', '.join(known)}) in the prompt's template, "
                f"which asks for {asked}: choose another prompt.template or map the columns"
            )
        return self

    @model_validator(mode="after")
    def _options_work_together(self) -> Self:
        """What no library does is refused before hours are spent on the way there."""
        seq2seq, held = self.model.family == "seq2seq", self.quantization.method
        method = self.adapter.method
        lora = method == "lora"
        accelerate = self.train.accelerate
        fsdp = bool(accelerate and accelerate.distributed_type == "FSDP")
        refused = {
            "train.packing: true works with model.family: causal alone": seq2seq and self.train.packing,
            "train.neftune_noise works with model.family: causal alone": seq2seq and self.train.neftune_noise,
            "quantization.compute: float16 overflows in a seq2seq model": seq2seq
            and self.quantization.compute == "float16",
            "lora.init: pissa wants quantization.method: none": lora and self.lora.init == "pissa" and held != "none",
            "lora.dora: true does not work with quantization.method: int8": lora and self.lora.dora and held == "int8",
            "adapter.method: full wants quantization.method: none, since packed weights cannot be trained": (
                method == "full" and held != "none"
            ),
            "train.packing: true does not work with adapter.method: prompt_tuning, whose tokens stand before a row": (
                method == "prompt_tuning" and self.train.packing
            ),
            "train.accelerate with FSDP or zero_stage: 3 wants quantization.method: none": (
                self.train.deals_weights_out and held != "none"
            ),
            "train.accelerate with FSDP or zero_stage: 3 does not work with adapter.method: prompt_tuning": (
                self.train.deals_weights_out and method == "prompt_tuning"
            ),
            "train.accelerate with FSDP does not work with adapter.method: full of a seq2seq model, whose embeddings "
            "have several names": fsdp and seq2seq and method == "full",
        }
        for reason, broken in refused.items():
            if broken:
                raise ValueError(f"choices that work together: {reason}")
        return self

    @model_validator(mode="after")
    def _what_is_judged_is_measured(self) -> Self:
        if self.gate.metric == "semantic" and self.metrics.semantic_model is None:
            raise ValueError("a metrics.semantic_model for gate.metric: semantic, or another gate.metric")
        return self

    @model_validator(mode="after")
    def _columns_named_elsewhere_are_fields_of_the_source(self) -> Self:
        known = list(self.source.columns.inputs)
        named = {
            "split.stratify": [self.split.stratify] if self.split.stratify else [],
            "split.group": self.split.group or [],
            "metrics.group": self.metrics.group or [],
            "augmentation.fields": self.augmentation.fields or [],
            "augmentation.paraphrases": [
                name for text in self.augmentation.paraphrases for name in fields_of(Template(text))
            ],
            "expectations.distinct": [name for name in self.expectations.distinct if name != "response"],
        }
        for where, names in named.items():
            unknown = [name for name in names if name not in known]
            if unknown:
                found = unknown[0] or "{}"
                raise ValueError(f"fields of source.columns.inputs ({', '.join(known)}) in {where}, not {found}")
        return self
