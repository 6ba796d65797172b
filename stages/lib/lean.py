"""Lean: a training step that does not walk through the whole model to find the few weights that it trains.

The library looks at every module of a model four times a step: to switch it to training, to count its weights, to clip
its gradients and to clear them. On a small model that is a tenth of the step. What is found here is the same, kept.
"""

from typing import Any


def lean(trainer: type) -> type:
    """`trainer` with what does not change from step to step looked up once."""

    class Lean(trainer):
        operations_per_token: int | None = None
        trained: list[Any] | None = None

        def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            if self.trained is None and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
                self.trained = [weight for weight in model.parameters() if weight.requires_grad]
                _lighten(model, self.optimizer)
            return super().training_step(model, *args, **kwargs)

        def _clip_grad_norm(self, model: Any) -> Any:
            if self.trained is None:  # gradients that are spread over processes are the library's to clip
                return super()._clip_grad_norm(model)
            return self.accelerator.clip_grad_norm_(self.trained, self.args.max_grad_norm)

        def floating_point_ops(self, inputs: dict[str, Any]) -> int:
            """6 × weights × tokens, as the library has it (https://arxiv.org/abs/2001.08361, section 2.1)."""
            tokens = inputs["input_ids"].numel()
            if self.operations_per_token is None:
                self.operations_per_token = super().floating_point_ops(inputs) // tokens
            return self.operations_per_token * tokens

    return Lean


def _lighten(model: Any, optimizer: Any) -> None:
    """Make `model.train()` do nothing where the model trains already, and `zero_grad` clear trained weights alone."""
    switch = model.train

    def train(mode: bool = True) -> Any:  # noqa: FBT001, FBT002 - torch calls it so
        return model if model.training is mode else switch(mode)

    model.train = train
    model.zero_grad = optimizer.zero_grad
