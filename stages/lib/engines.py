"""Engines: how processes share a training, on one machine or several.

Each may hold the whole model and share the rows (PyTorch's DDP), or the weights are dealt out too (PyTorch's FSDP,
DeepSpeed's ZeRO). The engines are theirs; Accelerate sets them up from its own configuration
(https://huggingface.co/docs/accelerate/package_reference/cli), which stands in params.yaml as `train.accelerate`.
"""

import os
import tempfile
from importlib.util import find_spec
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from stages.plumbing.problem import Problem
from stages.plumbing.section import Section

MACHINE = "MACHINE_RANK"  # the environment's word for which of several machines this is; 0 is the one that dvc runs on


class Accelerate(Section):
    """The block `train.accelerate`: of a configuration of Accelerate, what params.yaml does not say elsewhere."""

    distributed_type: Literal["MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED"]
    num_machines: int = Field(1, ge=1)
    main_process_ip: str | None = None
    main_process_port: int = Field(29500, ge=1024, le=65000)
    fsdp_config: dict[str, Any] = Field(default_factory=dict)
    deepspeed_config: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_engine(self) -> "Accelerate":
        if self.fsdp_config and self.distributed_type != "FSDP":
            raise ValueError("fsdp_config with distributed_type: FSDP alone")
        if self.deepspeed_config and self.distributed_type != "DEEPSPEED":
            raise ValueError("deepspeed_config with distributed_type: DEEPSPEED alone")
        if self.num_machines > 1 and not self.main_process_ip:
            raise ValueError("main_process_ip, the address of machine 0, where num_machines is above 1")
        if not all(key.startswith("fsdp_") for key in self.fsdp_config):
            raise ValueError("fsdp_config with keys that begin with fsdp_, as accelerate config writes them")
        if self.fsdp_config.get("fsdp_version", 2) != 2:
            raise ValueError("fsdp_config.fsdp_version: 2, in which weights keep their names")
        if "deepspeed_config_file" in self.deepspeed_config:
            raise ValueError("deepspeed_config in full: a file of its own would be no part of the experiment")
        return self

    @property
    def deals_weights_out(self) -> bool:
        """Whether no process holds the whole model."""
        return self.distributed_type == "FSDP" or self.deepspeed_config.get("zero_stage") == 3


def is_dealt_out(net: Any) -> bool:
    """Whether each process holds but a part of the weights of `net`, so that all must call it together."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(net, FSDPModule) or any(hasattr(weight, "ds_id") for weight in net.parameters())


def machines(accelerate: Accelerate | None) -> int:
    """How many machines train together."""
    return accelerate.num_machines if accelerate else 1


def machine(accelerate: Accelerate | None) -> int:
    """Which of the machines this is, 0 to machines - 1; a number that is none of them is a problem."""
    told, count = os.environ.get(MACHINE, "0"), machines(accelerate)
    if not told.isdecimal() or int(told) >= count:
        raise Problem(
            f"{MACHINE}, in the environment",
            told,
            f"0 to {count - 1}, since train.accelerate.num_machines is {count}",
            "correct it, or unset it on the machine that dvc runs on",
        )
    return int(told)


def environment(accelerate: Accelerate | None, family: str, processes: int) -> dict[str, str]:
    """What Accelerate's own launcher would put into the environment of the workers of this machine.

    `processes` is how many there are on all machines. What Accelerate does not understand is a problem.
    """
    if accelerate is None or accelerate.distributed_type in {"MULTI_CPU", "MULTI_GPU"}:
        return {}  # the trainer finds these out by itself
    if accelerate.distributed_type == "DEEPSPEED" and not find_spec("deepspeed"):
        raise Problem(
            "params.yaml, train.accelerate.distributed_type",
            "DEEPSPEED, but the package deepspeed is not installed",
            "the package, which is none of this project's own",
            ".venv/bin/python -m pip install deepspeed; or choose distributed_type: FSDP, which torch brings",
        )
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    parser = launch_command_parser()
    _insist_on_known(accelerate, {name for action in parser._actions for name in action.option_strings})  # noqa: SLF001
    prepare = {
        "FSDP": prepare_multi_gpu_env,
        "DEEPSPEED": lambda told: prepare_deepspeed_cmd_env(told)[1],
    }[accelerate.distributed_type]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(_whole(accelerate, family, processes), file)
        file.flush()
        try:
            told, _, _ = _validate_launch_command(parser.parse_args(["--config_file", file.name, "-m", "stages.train"]))
            told.deepspeed_fields_from_accelerate_config = ",".join(accelerate.deepspeed_config)
            made = prepare(told)
        except (ValueError, TypeError, ConnectionError, RuntimeError) as error:
            raise Problem(
                "params.yaml, train.accelerate",
                " ".join(str(error).split()),
                "a configuration that accelerate launch understands",
                "see https://huggingface.co/docs/accelerate/package_reference/cli",
            ) from error
    return {name: value for name, value in made.items() if os.environ.get(name) != value}


def insist_on_engine(accelerate: Accelerate | None, trainer: Any) -> None:
    """Raise a problem unless a trainer works with the engine asked for: it would go on with whole models in silence."""
    at_work = {"FSDP": trainer.is_fsdp_enabled, "DEEPSPEED": trainer.is_deepspeed_enabled}
    if accelerate and not at_work.get(accelerate.distributed_type, True):
        raise Problem(
            "params.yaml, train.accelerate.distributed_type",
            f"{accelerate.distributed_type}, which Accelerate does not set up on {trainer.args.device}",
            "a CUDA GPU for each process",
            "set train.accelerate: null, so that each process holds the whole model",
        )


def _whole(accelerate: Accelerate, family: str, processes: int) -> dict[str, Any]:
    """A whole configuration file of Accelerate's, as `accelerate config` would write it."""
    fsdp = {
        # Weights keep their names, and a checkpoint is one file.
        "fsdp_version": 2,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_cpu_ram_efficient_loading": False,  # some ways to begin an adapter compute with the base's weights
    }
    if family == "seq2seq":
        # A T5's embeddings are one tensor with two or three names, which FSDP would deal out as often: each process
        # keeps them whole.
        fsdp["fsdp_ignored_modules"] = r".*(shared|embed_tokens|lm_head)"
    # Workers of several machines are started by torch on each, not over ssh.
    deepspeed = {"deepspeed_multinode_launcher": "standard"}
    block, defaults = {"FSDP": ("fsdp_config", fsdp), "DEEPSPEED": ("deepspeed_config", deepspeed)}[
        accelerate.distributed_type
    ]
    return accelerate.model_dump(exclude={"fsdp_config", "deepspeed_config"}) | {
        block: defaults | getattr(accelerate, block),
        "compute_environment": "LOCAL_MACHINE",
        "num_processes": processes,
        "machine_rank": machine(accelerate),
        "mixed_precision": "no",  # the trainer sets it, from quantization.compute
        "use_cpu": False,
    }


def _insist_on_known(accelerate: Accelerate, options: set[str]) -> None:
    """Raise a problem for a key that Accelerate would pass over in silence."""
    for block in ("fsdp_config", "deepspeed_config"):
        for key in getattr(accelerate, block):
            if f"--{key}" not in options | {"--fsdp_ignored_modules"}:
                raise Problem(
                    f"params.yaml, train.accelerate.{block}",
                    f"{key}, which accelerate launch does not know",
                    "its own names of options",
                    "see accelerate launch --help",
                )
