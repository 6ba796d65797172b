"""Methods of tuning: what is trained, and in closed form how many weights that is.

LoRA has a section of its own; here stand the choice between methods and the settings of the others: IA3, which scales
activations (https://arxiv.org/abs/2205.05638), prompt tuning, which learns tokens that no text has
(https://arxiv.org/abs/2104.08691), and full tuning, which trains the base itself.
"""

from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, model_validator

from stages.lib.lora import Lora, expected_parameters, matched
from stages.lib.lora import attach as attach_lora
from stages.lib.models import FAMILIES, Model
from stages.plumbing.section import Section


class Ia3(Section):
    """Layers whose outputs and whose inputs are scaled; null means those of the paper, by `IA3_LAYERS`."""

    outputs: list[str] | None = Field(min_length=1)
    inputs: list[str] | None = Field(min_length=1)

    @model_validator(mode="after")
    def _a_layer_is_scaled_on_one_side(self) -> "Ia3":
        both = sorted({*(self.outputs or [])} & {*(self.inputs or [])})
        if both or "all-linear" in [*(self.outputs or []), *(self.inputs or [])]:
            raise ValueError("names of layers, each in outputs or in inputs, and not all-linear")
        return self


class PromptTuning(Section):
    """How many tokens are learnt, and what they begin as."""

    virtual_tokens: int = Field(ge=1)
    init: Literal["vocabulary", "random", "text"]
    text: str | None

    @model_validator(mode="after")
    def _a_text_to_begin_with(self) -> "PromptTuning":
        if (self.init == "text") != bool(self.text):
            raise ValueError("a text with init: text, and null with the others")
        return self


class Adapter(Section):
    """The section `adapter`."""

    method: Literal["lora", "ia3", "prompt_tuning", "full"]
    ia3: Ia3
    prompt_tuning: PromptTuning


class Choices(Protocol):
    """The sections that decide what is trained."""

    adapter: Adapter
    lora: Lora
    model: Model


# family → (layers whose outputs are scaled: keys and values; whose inputs are: the second half of the feed-forward)
IA3_LAYERS = {"seq2seq": (["k", "v"], ["wo"]), "causal": (["k_proj", "v_proj"], ["down_proj"])}


def attach(net: Any, choices: Choices, base: Path) -> tuple[Any, int]:
    """`net` ready to be trained by the chosen method, and the closed form of how many weights that trains.

    Seed before the call. `base` is the folder of `net`, whose tokenizer cuts the text that virtual tokens begin as.
    """
    return METHODS[choices.adapter.method](net, choices, base)


def described(choices: Choices) -> dict[str, Any]:
    """What the reports say of the method and its settings."""
    method = choices.adapter.method
    if method == "lora":
        return {"method": method} | choices.lora.model_dump(include={"r", "alpha", "targets", "rslora", "dora", "init"})
    if method == "ia3":
        outputs, inputs = ia3_layers(choices.adapter.ia3, choices.model.family)
        return {"method": method, "targets": sorted({*outputs, *inputs})}
    if method == "prompt_tuning":
        return {"method": method, "virtual_tokens": choices.adapter.prompt_tuning.virtual_tokens}
    return {"method": method}


def _lora(net: Any, choices: Choices, base: Path) -> tuple[Any, int]:
    del base
    expected = expected_parameters(matched(net, choices.lora.targets), choices.lora)
    return attach_lora(net, choices.lora, choices.model.family), expected


def ia3_layers(ia3: Ia3, family: str) -> tuple[list[str], list[str]]:
    """The names of the layers whose outputs and whose inputs are scaled."""
    outputs, inputs = IA3_LAYERS[family]
    return ia3.outputs or outputs, ia3.inputs or inputs


def ia3_parameters(net: Any, ia3: Ia3, family: str) -> int:
    """One scale for each output of the first layers, one for each input of the others; a wrong name is a problem."""
    outputs, inputs = ia3_layers(ia3, family)
    scaled = [width for _, width in matched(net, outputs, "adapter.ia3.outputs").values()]
    return sum(scaled) + sum(width for width, _ in matched(net, inputs, "adapter.ia3.inputs").values())


def _ia3(net: Any, choices: Choices, base: Path) -> tuple[Any, int]:
    from peft import IA3Config, TaskType, get_peft_model

    del base
    family = choices.model.family
    expected = ia3_parameters(net, choices.adapter.ia3, family)
    outputs, inputs = ia3_layers(choices.adapter.ia3, family)
    config = IA3Config(
        target_modules=[*outputs, *inputs], feedforward_modules=inputs, task_type=TaskType[FAMILIES[family][2]]
    )
    return get_peft_model(net, config), expected


def prompt_parameters(net: Any, tuning: PromptTuning) -> int:
    """A vector as wide as a token's for each virtual token. Only an encoder-decoder's encoder gets them."""
    return tuning.virtual_tokens * net.get_input_embeddings().embedding_dim


# our words → PEFT's
INITS = {"vocabulary": "SAMPLE_VOCAB", "random": "RANDOM", "text": "TEXT"}


def _prompt_tuning(net: Any, choices: Choices, base: Path) -> tuple[Any, int]:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    tuning = choices.adapter.prompt_tuning
    config = PromptTuningConfig(
        num_virtual_tokens=tuning.virtual_tokens,
        # PEFT would make a second half for the decoder of an encoder-decoder, which its forward never reads.
        num_transformer_submodules=1,
        prompt_tuning_init=INITS[tuning.init],
        prompt_tuning_init_text=tuning.text,
        tokenizer_name_or_path=base.as_posix() if tuning.init == "text" else None,
        task_type=TaskType[FAMILIES[choices.model.family][2]],
    )
    return get_peft_model(net, config), prompt_parameters(net, tuning)


def full_parameters(net: Any) -> int:
    """Every weight of the model, those that two layers share once."""
    return sum(weight.numel() for weight in net.parameters())


def _full(net: Any, choices: Choices, base: Path) -> tuple[Any, int]:
    del choices, base
    return net.requires_grad_(requires_grad=True), full_parameters(net)


METHODS = {"lora": _lora, "ia3": _ia3, "prompt_tuning": _prompt_tuning, "full": _full}


def counted(net: Any) -> tuple[int, int]:
    """How many weights are trained, and how many the base has; weights packed by quantisation count as they were."""
    if hasattr(net, "get_nb_trainable_parameters"):
        trained, total = net.get_nb_trainable_parameters()
        return trained, total - trained
    trained = sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
    return trained, full_parameters(net)
