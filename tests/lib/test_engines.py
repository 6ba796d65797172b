"""Engines: a configuration of Accelerate in params.yaml is understood whole, or refused in words."""

import pytest
from pydantic import ValidationError

from stages.lib import engines
from stages.lib.engines import MACHINE, Accelerate, environment, machine
from stages.lib.training import Train
from stages.plumbing.problem import Problem
from tests.lib.test_fitting import recipe

FSDP = {"distributed_type": "FSDP"}
CLUSTER = {"distributed_type": "MULTI_GPU", "num_machines": 4, "main_process_ip": "10.0.0.1"}


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"distributed_type": "TPU"}, "distributed_type"),
        ({"distributed_type": "FSDP", "num_processes": 4}, "num_processes"),
        ({"distributed_type": "FSDP", "deepspeed_config": {"zero_stage": 2}}, "DEEPSPEED alone"),
        ({"distributed_type": "DEEPSPEED", "fsdp_config": {"fsdp_offload_params": True}}, "FSDP alone"),
        ({"distributed_type": "MULTI_GPU", "num_machines": 2}, "main_process_ip"),
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 1}}, "fsdp_version: 2"),
        ({"distributed_type": "FSDP", "fsdp_config": {"version": 1}}, "begin with fsdp_"),
        (
            {"distributed_type": "DEEPSPEED", "deepspeed_config": {"deepspeed_config_file": "a"}},
            "of its own",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(told, wanted):
    with pytest.raises(ValidationError, match=wanted):
        Accelerate(**told)


@pytest.mark.parametrize(
    ("train", "wanted"),
    [
        ({"processes": 1, "accelerate": FSDP}, "processes above 1"),
        ({"processes": 2, "accelerate": CLUSTER}, "a multiple of accelerate.num_machines"),
        ({"processes": 2, "accelerate": FSDP, "keep_checkpoints": 1}, "keep_checkpoints: 0"),
    ],
)
def test_machines_share_the_processes(train, wanted):
    with pytest.raises(ValidationError, match=wanted):
        Train(**recipe("causal", train=train)["train"])


def test_the_environment_says_what_accelerate_launch_would():
    told = environment(Accelerate(**FSDP, fsdp_config={"fsdp_offload_params": True}), "causal", 2)
    assert told["ACCELERATE_USE_FSDP"] == "true"
    assert told["FSDP_VERSION"] == "2"
    assert told["FSDP_OFFLOAD_PARAMS"] == "true"
    assert told["FSDP_STATE_DICT_TYPE"] == "FULL_STATE_DICT"
    assert "FSDP_IGNORED_MODULES" not in told
    assert "shared" in environment(Accelerate(**FSDP), "seq2seq", 2)["FSDP_IGNORED_MODULES"]


@pytest.mark.parametrize("told", [None, {"distributed_type": "MULTI_CPU"}, CLUSTER])
def test_whole_models_need_no_environment(told):
    assert environment(Accelerate(**told) if told else None, "causal", 8) == {}


def test_an_option_that_accelerate_would_pass_over_is_a_problem():
    with pytest.raises(Problem, match="fsdp_shards, which accelerate launch does not know"):
        environment(Accelerate(**FSDP, fsdp_config={"fsdp_shards": 2}), "causal", 2)


def test_deepspeed_that_is_not_installed_is_a_problem(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(Problem, match="pip install deepspeed"):
        environment(Accelerate(distributed_type="DEEPSPEED"), "causal", 2)


@pytest.mark.parametrize("number", ["4", "-1", "one"])
def test_a_machine_that_is_none_of_them_is_a_problem(number, monkeypatch):
    monkeypatch.setenv(MACHINE, number)
    with pytest.raises(Problem, match="0 to 3"):
        machine(Accelerate(**CLUSTER))


def test_the_machine_that_dvc_runs_on_needs_no_number(monkeypatch):
    monkeypatch.delenv(MACHINE, raising=False)
    assert machine(Accelerate(**CLUSTER)) == machine(None) == 0
