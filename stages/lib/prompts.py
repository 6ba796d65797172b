"""Prompts: how a row becomes what the model reads and what it should write, as text and as token ids."""

from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from pydantic import Field, model_validator

from stages.plumbing.problem import Problem
from stages.plumbing.section import Section


@dataclass(frozen=True)
class Template:
    """How a row becomes a prompt: `text` with fields of the row in braces.

    With `chat`, `system` and `text` go through the chat template of the model's tokenizer.
    """

    text: str
    system: str = ""
    chat: bool = False


# A new template is one entry here, or `prompt.text` in params.yaml. Fields are the keys of source.columns.inputs.
TEMPLATES: dict[str, Template] = {
    "describe": Template("Descreva o produto: {title}"),
    "product-question": Template(
        'Pergunta: Qual é a descrição do produto "{title}"?\n'
        "Contexto: título = {title}\n"
        "Responda apenas com a descrição."
    ),
    "alpaca": Template(
        "### Instruction:\nDescribe the product\n\n### Input:\n{title}\n\n### Response:\n",
    ),
    # A free question about a product: afina generate --template question --field title=… --field question=…
    "question": Template("### Instruction:\n{question}\n\n### Input:\n{title}\n\n### Response:\n"),
    "chat": Template(
        "Descreva o produto: {title}",
        system="Você escreve descrições de produtos, claras e fiéis ao título.",
        chat=True,
    ),
    "tarot": Template(
        "Gere uma interpretação para a carta '{carta}' em '{evento}', na seção '{secao}', sobre o tema '{tema}'."
    ),
}


class Prompt(Section):
    """The section `prompt`."""

    template: str
    text: str | None
    max_prompt_tokens: int = Field(ge=4)
    max_response_tokens: int = Field(ge=2)

    @model_validator(mode="after")
    def _one_template(self) -> "Prompt":
        if self.template == "custom" and not self.text:
            raise ValueError("template custom wants prompt.text")
        if self.template != "custom" and self.template not in TEMPLATES:
            raise ValueError(f"template must be custom or one of {', '.join(sorted(TEMPLATES))}")
        if any(spec or conversion for _, _, spec, conversion in Formatter().parse(self.text or "")):
            raise ValueError("fields of prompt.text are names in braces and nothing more, such as {title}")
        return self


def chosen(prompt: Prompt) -> Template:
    """The template that the section names."""
    return Template(prompt.text or "") if prompt.template == "custom" else TEMPLATES[prompt.template]


def template_of(row: dict[str, Any], template: Template) -> Template:
    """The template of a row: for a copy that is asked in other words (augmentation.paraphrases) with that text."""
    paraphrase = row.get("paraphrase")
    return replace(template, text=paraphrase) if paraphrase else template


def fields_of(template: Template) -> list[str]:
    """The fields that a template wants, in order, each once."""
    names = [name for _, name, _, _ in Formatter().parse(template.text) if name is not None]
    return list(dict.fromkeys(names))


def render(template: Template, row: dict[str, Any], tokenizer: Any) -> str:
    """The prompt of one row as text."""
    unknown = [name for name in fields_of(template) if name not in row]
    if unknown:
        raise Problem(
            "params.yaml, prompt",
            f"a template with the field {', '.join(unknown)}",
            f"fields among {', '.join(name for name in row if name not in {'row_id', 'line', 'response'})}",
            "choose another prompt.template, or name the field in source.columns.inputs",
        )
    # format_map works on the template alone: braces inside a row's text stay as they are.
    text = template.text.format_map(row)
    if not template.chat:
        return text
    if not getattr(tokenizer, "chat_template", None):
        raise Problem(
            "params.yaml, prompt.template",
            "a chat template, but the base model's tokenizer has none",
            "a chat model, or a plain template",
            "choose a model trained for chat, or a template such as alpaca",
        )
    messages = [{"role": "system", "content": template.system}] if template.system else []
    messages.append({"role": "user", "content": text})
    return _through_chat(messages, tokenizer)


def _through_chat(messages: list[dict[str, str]], tokenizer: Any) -> str:
    """Messages through the chat template; one that knows no system role gets its words before the user's."""
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        if messages[0]["role"] != "system":
            raise
        first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        return tokenizer.apply_chat_template([first], tokenize=False, add_generation_prompt=True)


def check_room(config: Any, prompt: Prompt, virtual_tokens: int = 0) -> None:
    """Raise a problem when prompt and response together outgrow the positions that a causal model knows.

    `virtual_tokens` is how many learnt tokens stand before the prompt (prompt tuning).

    A T5 knows distances instead of positions, and has no such limit.
    """
    room = getattr(config, "max_position_embeddings", None)
    wanted = virtual_tokens + prompt.max_prompt_tokens + prompt.max_response_tokens
    if room and not config.is_encoder_decoder and wanted > room:
        raise Problem(
            "params.yaml, prompt",
            f"up to {wanted} tokens (max_prompt_tokens + max_response_tokens"
            + (" + adapter.prompt_tuning.virtual_tokens)" if virtual_tokens else ")"),
            f"at most {room}, which this model was made for",
            "lower prompt.max_prompt_tokens or prompt.max_response_tokens, or choose a model of more positions",
        )


@dataclass(frozen=True)
class Encoded:
    """Token ids of some rows. `texts` are the prompts as read; `shortened` and `cut` count rows that lost text."""

    texts: list[str]
    prompts: list[list[int]]
    responses: list[list[int]]
    shortened: int
    cut: int


def encode(rows: list[dict[str, Any]], prompt: Prompt, tokenizer: Any) -> Encoded:
    """Turn rows into token ids: prompts as the model reads them, responses with the token that ends them.

    A prompt that is too long loses the end of its longest field, never the words of the template around it; a response
    that is too long is cut and ended.
    """
    template = chosen(prompt)
    texts = [render(template_of(row, template), row, tokenizer) for row in rows]
    prompts = _prompt_ids(texts, template, tokenizer)
    long = [index for index, ids in enumerate(prompts) if len(ids) > prompt.max_prompt_tokens]
    shorter = _shortened([rows[index] for index in long], template, prompt.max_prompt_tokens, tokenizer)
    for index, (text, ids) in zip(long, shorter, strict=True):
        texts[index], prompts[index] = text, ids
    whole = _ids([row["response"] for row in rows], tokenizer, special=False)
    room = prompt.max_response_tokens - 1
    responses = [[*ids[:room], tokenizer.eos_token_id] for ids in whole]
    return Encoded(texts, prompts, responses, len(long), sum(len(ids) > room for ids in whole))


def _prompt_ids(texts: list[str], template: Template, tokenizer: Any) -> list[list[int]]:
    """Token ids of prompts; a chat template writes its own special tokens, other prompts get the tokenizer's."""
    return _ids(texts, tokenizer, special=not template.chat)


AT_A_TIME = 1000  # texts: what the library keeps of each (offsets, masks, pieces) is many times its ids


def _ids(texts: list[str], tokenizer: Any, *, special: bool) -> list[list[int]]:
    """The ids that `tokenizer(texts)` gives, by as many threads as there are cores, and nothing but ids."""
    # The library's call first: it takes off what was left on the tokenizer (a truncation that was saved with it,
    # padding), also for one who saves the tokenizer later.
    tokenizer([""], add_special_tokens=special)
    if _calls_its_backend(tokenizer):
        encoded = tokenizer.backend_tokenizer.encode_batch_fast
        return [
            part.ids
            for begin in range(0, len(texts), AT_A_TIME)
            for part in encoded(texts[begin : begin + AT_A_TIME], add_special_tokens=special)
        ]
    # transformers' call does not take an empty list.
    return tokenizer(texts, add_special_tokens=special)["input_ids"] if texts else []


def _calls_its_backend(tokenizer: Any) -> bool:
    """Whether a tokenizer is the Rust library's, with no Python of a model's own around its call."""
    from transformers import TokenizersBackend

    kinds = type(tokenizer).__mro__
    if TokenizersBackend not in kinds:
        return False
    own = kinds[: kinds.index(TokenizersBackend)]
    return all({"__call__", "_encode_plus"}.isdisjoint(vars(kind)) for kind in own)


def _shortened(
    rows: list[dict[str, Any]], template: Template, limit: int, tokenizer: Any
) -> list[tuple[str, list[int]]]:
    """The prompts, text and ids, of rows whose longest fields are cut from the end until none has more than `limit`."""
    asked = [template_of(row, template) for row in rows]
    fields = [{name: str(row[name]) for name in fields_of(own)} for row, own in zip(rows, asked, strict=True)]
    found: dict[int, tuple[str, list[int]]] = {}
    while len(found) < len(rows):
        still = [index for index in range(len(rows)) if index not in found]
        texts = [render(asked[index], fields[index], tokenizer) for index in still]
        for index, text, ids in zip(still, texts, _prompt_ids(texts, template, tokenizer), strict=True):
            if len(ids) <= limit:
                found[index] = text, ids
            else:
                fields[index] = _cut(fields[index], limit, len(ids))
    return [found[index] for index in range(len(rows))]


def _cut(fields: dict[str, str], limit: int, tokens: int) -> dict[str, str]:
    """Fields whose longest lost the share by which `tokens` are above the limit, at its end."""
    longest = max(fields, key=lambda name: len(fields[name]), default="")
    if not longest or not fields[longest]:
        raise Problem(
            "params.yaml, prompt.max_prompt_tokens",
            f"{limit}, but the template alone has {tokens} tokens",
            "room for the template and something of the row",
            f"set prompt.max_prompt_tokens above {tokens}, or choose a shorter template",
        )
    return fields | {longest: fields[longest][: int(len(fields[longest]) * limit / tokens)]}
