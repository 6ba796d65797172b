"""On the path of a worker, lets FSDP run on CPUs: Accelerate sets it up for GPUs alone, torch runs it on both.

What a worker then trains with is FSDP itself, dealing weights out and putting them together over gloo.
"""

import os

if "RANK" in os.environ and os.environ.get("ACCELERATE_USE_FSDP") == "true":
    from accelerate import state
    from accelerate.utils import DistributedType

    begin = state.AcceleratorState.__init__

    def with_fsdp(self, *args, fsdp_plugin=None, **kwargs) -> None:
        begin(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    state.AcceleratorState.__init__ = with_fsdp
