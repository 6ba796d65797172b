"""Texts as vectors: what an encoder makes of a text, averaged over its tokens (Reimers & Gurevych 2019).

Plain transformers do it: `bert-score` and `sentence-transformers` would bring more packages for the same forward pass,
and a mean over all tokens needs no choice of a layer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib.files import sha256
from stages.plumbing.console import only_our_bars
from stages.plumbing.problem import Problem

# What is read of a folder, and so what its identity is made of. Pickled weights are never loaded.
READ = ("*.json", "*.model", "*.safetensors", "*.txt")
BATCH = 64  # texts at a time, of similar length
LONGEST = 512  # tokens read of a text, where neither tokenizer nor model says


@dataclass(frozen=True)
class Encoder:
    """A model that turns texts into vectors of length 1, and the sha256 of the files it was read from."""

    net: Any
    tokenizer: Any
    longest: int
    identity: str

    @property
    def signature(self) -> str:
        """What has to be equal for cosines to be comparable, in the manner of sacreBLEU's signatures."""
        return f"model:{self.identity}|pool:mean|tokens:{self.longest}"

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """One vector per text, shape (n, width), float32; what is longer than `longest` tokens is cut."""
        import torch

        known = {text: place for place, text in enumerate(sorted(set(texts), key=lambda text: (len(text), text)))}
        order = list(known)
        parts = []
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            fed = self.tokenizer(batch, padding=True, truncation=True, max_length=self.longest, return_tensors="pt").to(
                self.net.device
            )
            with torch.inference_mode():
                states = self.net(input_ids=fed["input_ids"], attention_mask=fed["attention_mask"]).last_hidden_state
            weight = fed["attention_mask"][..., None].to(states.dtype)
            mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
            parts.append(torch.nn.functional.normalize(mean, dim=-1).float().cpu().numpy())
        vectors = np.concatenate(parts)
        return vectors[[known[text] for text in texts]]


def load(name: str, revision: str | None, wanted: str | None) -> Encoder:
    """The encoder in the folder `name`, or the hub's `name` at the commit `revision`, if its files are the wanted ones.

    `wanted` is the sha256 that `identity` gives: no path of dvc.yaml leads to these files, so their content is pinned
    among the parameters instead, and any other content is refused.
    """
    folder = Path(name) if revision is None else _from_hub(name, revision)
    where = f"params.yaml, metrics.semantic_model: {name}"
    if not (folder / "config.json").is_file():
        raise Problem(
            where,
            "no config.json in it" if folder.is_dir() else "no such folder",
            "a folder with config.json, tokenizer and model.safetensors, or null",
            "correct metrics.semantic_model; a model of the hub wants metrics.semantic_revision, too",
        )
    found = identity(folder)
    if found != wanted:
        raise Problem(
            where,
            f"files with the sha256 {found}",
            f"the sha256 that metrics.semantic_sha256 pins: {wanted or 'none yet, and results depend on it'}",
            f"if this is the model that you mean, set metrics.semantic_sha256: {found}",
        )
    return _loaded(folder, where, found)


def identity(folder: Path) -> str:
    """One sha256 over names and contents of the files of `folder` that are read."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in READ for path in folder.glob(pattern) if path.is_file()}):
        digest.update(f"{path.name}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def _from_hub(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(READ), ignore_patterns="*/*"))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise Problem(
            f"params.yaml, metrics.semantic_model: {name} at revision {revision}",
            " ".join(str(error).split())[:300],
            "a model of the hub that was downloaded before or can be downloaded",
            "check name, revision and network, or name a folder and set metrics.semantic_revision: null",
        ) from error


def _loaded(folder: Path, where: str, digest: str) -> Encoder:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    only_our_bars()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        net, told = AutoModel.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise Problem(
            where, " ".join(str(error).split())[:300], "an encoder that transformers reads", "choose another folder"
        ) from error
    # Sentence encoders are often published without the pooler, which is not used here.
    missing = sorted(key for key in told["missing_keys"] if not key.startswith("pooler."))
    if missing or net.config.is_encoder_decoder or tokenizer.pad_token is None:
        faults = {
            f"a checkpoint that lacks {len(missing)} weights, first {', '.join(missing[:1])}": bool(missing),
            "a model with a decoder": net.config.is_encoder_decoder,
            "a tokenizer without a padding token": tokenizer.pad_token is None,
        }
        raise Problem(
            where,
            "; ".join(fault for fault, there in faults.items() if there),
            "a whole encoder, such as a BERT",
            "choose another model",
        )
    longest = tokenizer.model_max_length
    if longest > 1_000_000:  # a tokenizer that does not say; two positions are taken by what RoBERTa counts from
        longest = getattr(net.config, "max_position_embeddings", LONGEST + 2) - 2
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Encoder(net.eval().to(device), tokenizer, longest, digest)
