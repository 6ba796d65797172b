"""Fusing LoRA adapters of one base model into one, with PEFT's `add_weighted_adapter`."""

import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.lib.adapter_folder import method_of, parts, read_settings, require_base, save
from stages.lib.adapters import known_settings
from stages.lib.determinism import make_deterministic
from stages.lib.files import sha256, whole
from stages.lib.merging import load_full
from stages.lib.models import Model, load_tokenizer
from stages.plumbing.console import say
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem

BASE, ADAPTER = Path("models/base"), "models/adapter"
REV = "rev:"

# method → (whether all ranks must be equal, whether a share `density` of each adapter's weights is kept)
METHODS = {
    "linear": (True, False),
    "cat": (False, False),
    "svd": (False, False),
    "ties": (True, True),
    "dare_linear": (True, True),
    "dare_ties": (True, True),
}


class Params(Sections):
    model: Model


@dataclass(frozen=True)
class Fusion:
    """How adapters become one: a weight for each, the method and what it needs."""

    weights: list[float]
    method: str
    density: float
    rank: int | None
    seed: int


def fuse(given: list[str], fusion: Fusion, out: Path) -> None:
    """Write to `out` the fusion of the adapters in `given`: folders, or `rev:` and a git revision or an experiment."""
    params = Params.read()
    check_request(given, fusion, out)
    with tempfile.TemporaryDirectory(prefix="afina-fuse-") as scratch:
        folders = [fetched(name, Path(scratch) / str(number)) for number, name in enumerate(given)]
        check_adapters(given, folders, fusion)
        if not (BASE / "config.json").is_file():
            raise Problem(str(BASE), "no model", "the base of the adapters", "dvc pull base, or dvc repro base")
        for folder in folders:
            require_base(folder, BASE)
        make_deterministic(fusion.seed, params.model.threads)
        net = load_full(BASE, params.model, "float32")
        fused = combined(net, folders, fusion)
        told = asdict(fusion) | {
            "adapters": [
                {"name": _named(name), "weights_sha256": sha256(parts(folder)[0])}
                for name, folder in zip(given, folders, strict=True)
            ]
        }
        with whole(out) as begun:
            tokenizer = load_tokenizer(BASE, params.model.family)
            save(fused, tokenizer, begun, BASE, params.model.family, origin={"fused": told}, place=out)
    say("fused", f"{' + '.join(f'{weight:g} × {name}' for weight, name in zip(fusion.weights, given, strict=True))}")
    say("rank", fused.peft_config["default"].r)
    say("written to", out)


def _named(name: str) -> str:
    """An adapter's name as others understand it: without the folders of this machine."""
    return Path(name).name if Path(name).is_absolute() else name


def check_request(given: list[str], fusion: Fusion, out: Path) -> None:
    """Raise a problem where the command line asks for what cannot be."""
    if fusion.method not in METHODS:
        raise Problem("--method", fusion.method, f"one of {', '.join(METHODS)}", "choose one of these")
    if len(given) < 2 or len(fusion.weights) != len(given):
        raise Problem(
            "the command line",
            f"{len(given)} adapters and {len(fusion.weights)} weights",
            "two adapters or more, and a weight for each",
            "afina fuse A B --weights 0.7 0.3 --method cat --out models/fused",
        )
    if not all(math.isfinite(weight) for weight in fusion.weights) or not any(fusion.weights):
        raise Problem("--weights", str(fusion.weights), "finite numbers, not all zero", "give other weights")
    if not 0 < fusion.density <= 1:
        raise Problem("--density", str(fusion.density), "a share above 0, up to 1", "give another share")
    if fusion.rank is not None and (fusion.method != "svd" or fusion.rank < 1):
        raise Problem("--rank", str(fusion.rank), "a whole number from 1, with --method svd", "leave it out")
    if out.exists():
        raise Problem(
            str(out), "it exists", "a new folder, so that nothing is lost", "choose another --out, or remove it"
        )


def fetched(name: str, scratch: Path) -> Path:
    """The folder of an adapter; one of a revision is taken from DVC's cache or remote into `scratch`."""
    if not name.startswith(REV):
        return Path(name)
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    rev = name.removeprefix(REV)
    try:
        files = DVCFileSystem(rev=rev)
        files.get(ADAPTER, str(scratch), recursive=True)
    except (DvcException, SCMError, OSError) as error:
        raise Problem(
            name,
            " ".join(str(error).split())[:300] or type(error).__name__,
            f"a git revision or an experiment whose {ADAPTER} is in DVC's cache or remote",
            "see dvc exp list, and bring its files: dvc fetch -A",
        ) from error
    return scratch


def check_adapters(given: list[str], folders: list[Path], fusion: Fusion) -> None:
    """Raise a problem unless the adapters can be fused so: LoRA on the same layers, with what the method wants."""
    kinds = [_of_lora(name, folder) for name, folder in zip(given, folders, strict=True)]
    shapes = [weights_of(folder) for folder in folders]
    for name, found in zip(given[1:], shapes[1:], strict=True):
        odd = sorted(set(found) ^ set(shapes[0]))
        if odd:
            raise Problem(
                f"{given[0]} and {name}",
                f"{len(odd)} layers that only one of them adapts, first {odd[0]}",
                "adapters of the same layers (lora.targets)",
                "train one of them again with the other's lora.targets",
            )
        other = sorted(key for key in found if _outer(key, found[key]) != _outer(key, shapes[0][key]))
        if other:
            raise Problem(
                f"{given[0]} and {name}",
                f"{other[0]} has the shapes {shapes[0][other[0]]} and {found[other[0]]}",
                "adapters of one base model",
                "train both on the same base",
            )
    ranks = [kind["r"] for kind in kinds]
    if METHODS[fusion.method][0] and any(found != shapes[0] for found in shapes[1:]):
        raise Problem(
            "--method " + fusion.method,
            f"adapters of the ranks {', '.join(map(str, ranks))}",
            "adapters of one rank",
            "use --method cat (exact; the ranks add up) or svd (--rank says how many remain)",
        )


def weights_of(folder: Path) -> dict[str, list[int]]:
    """Name → shape of the adapter's weights."""
    from safetensors import safe_open

    with safe_open(str(parts(folder)[0]), framework="pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - it is no mapping


def _outer(name: str, shape: list[int]) -> int:
    """The side of LoRA's matrix that is the layer's: A's inputs, B's outputs. The other one is the rank."""
    return shape[1] if "lora_A" in name else shape[0]


def _of_lora(name: str, folder: Path) -> dict[str, Any]:
    """The settings of a LoRA adapter whose effect is its two matrices and nothing else."""
    if (method := method_of(folder)) != "lora":
        raise Problem(name, f"an adapter of the method {method}", "LoRA adapters", "fuse adapters made with lora alone")
    settings = read_settings(parts(folder)[1])
    init = str(settings.get("init_lora_weights")).lower()
    begun = init.startswith(("pissa", "olora", "corda", "lora_ga", "loftq"))
    extras = {
        "use_dora: its lengths of weights do not add up": settings.get("use_dora"),
        f"init_lora_weights: {init}, which changes the base below the adapter": begun,
        f"bias: {settings.get('bias')}, weights of the base itself": settings.get("bias", "none") != "none",
        "modules_to_save, weights of the base itself": settings.get("modules_to_save"),
    }
    for reason, found in extras.items():
        if found:
            raise Problem(
                name,
                reason,
                "plain LoRA adapters",
                "train it with lora.dora: false, lora.init: default, lora.bias: none",
            )
    return settings


def combined(net: Any, folders: list[Path], fusion: Fusion) -> Any:
    """`net` with one adapter around it, called `default`: the fusion of those in `folders`. Seed before the call."""
    from dataclasses import replace

    from peft import get_peft_model, set_peft_model_state_dict
    from peft.utils import load_peft_weights

    names = [f"part{number}" for number in range(len(folders))]
    for name, folder in zip(names, folders, strict=True):
        # PEFT would compare the name of the base with that of the model in memory, and warn.
        settings = replace(known_settings(folder), base_model_name_or_path=None)
        if name == names[0]:
            net = get_peft_model(net, settings, adapter_name=name)
        else:
            net.add_adapter(name, settings)
        set_peft_model_state_dict(net, load_peft_weights(str(folder), device="cpu"), adapter_name=name)
    # The fused adapter gets alpha = r, and PEFT folds the scales of its parts into its weights; with rsLoRA's scale,
    # alpha / sqrt(r), which it would inherit from the first part, it would be sqrt(r) times too strong.
    net.peft_config[names[0]] = replace(net.peft_config[names[0]], use_rslora=False)
    net.base_model.add_weighted_adapter(
        names,
        fusion.weights,
        "default",
        combination_type=fusion.method,
        svd_rank=fusion.rank,
        svd_full_matrices=False,
        density=fusion.density if METHODS[fusion.method][1] else None,
    )
    net.set_adapter("default", inference_mode=True)
    for name in names:
        net.delete_adapter(name)
    return net.eval()
