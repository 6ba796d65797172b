"""What the weights of the recipes' bases take in memory, by the way they are held. Arithmetic on shapes: no download.

    python bench/base_sizes.py

The shapes are those of the published configurations, built without memory. As `stages/lib/models.py` loads them: a T5's
`wo` in float32 always; embeddings and head never quantised; NF4 with doubly quantised constants takes 4.127 bits a
weight (https://arxiv.org/abs/2305.14314). What is not quantised is held in bfloat16. Prints a table in GB (10^9 bytes).
"""

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaConfig, T5Config

T5 = {"vocab_size": 32128, "d_model": 768, "d_kv": 64, "num_layers": 12, "num_heads": 12}
BASES = {
    "PTT5 base": (AutoModelForSeq2SeqLM, T5Config(**T5, d_ff=3072, feed_forward_proj="relu")),
    "FLAN-T5 base": (
        AutoModelForSeq2SeqLM,
        T5Config(**T5, d_ff=2048, feed_forward_proj="gated-gelu"),
    ),
    "TinyLlama": (
        AutoModelForCausalLM,
        LlamaConfig(
            vocab_size=32000,
            hidden_size=2048,
            intermediate_size=5632,
            num_hidden_layers=22,
            num_attention_heads=32,
            num_key_value_heads=4,
            tie_word_embeddings=False,
        ),
    ),
}
BITS = {"float32": 32, "bfloat16": 16, "int8": 8, "nf4": 4.127}


def gigabytes(net: torch.nn.Module, way: str) -> float:
    """The weights of `net` in GB, its linear layers held in `way`."""
    head = net.get_output_embeddings()
    quantised = {
        layer.weight
        for name, layer in net.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head and not name.endswith(".wo")
    }
    kept = {layer.weight for name, layer in net.named_modules() if name.endswith(".wo")}
    bits = 0.0
    for weight in net.parameters():
        other = BITS["float32"] if way == "float32" or weight in kept else BITS["bfloat16"]
        bits += weight.numel() * (BITS[way] if weight in quantised else other)
    return bits / 8 / 1e9


def main() -> None:
    print(f"{'base':<14}{'weights':>15}" + "".join(f"{way:>10}" for way in BITS))
    for name, (auto, config) in BASES.items():
        with torch.device("meta"):
            net = auto.from_config(config)
        if name == "FLAN-T5 base":  # it has a head of its own, while transformers ties that of every new T5
            net.get_output_embeddings().weight = torch.nn.Parameter(
                torch.empty(config.vocab_size, config.hidden_size, device="meta")
            )
        count = sum(weight.numel() for weight in net.parameters())
        print(f"{name:<14}{count:>15,}" + "".join(f"{gigabytes(net, way):>10.2f}" for way in BITS))


if __name__ == "__main__":
    main()
