"""The summed loss and its gradient are torch's own cross-entropy's."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from stages.lib.summed_loss import summed_loss


@pytest.mark.parametrize("labels", [[1, 4, 0, 2], [-100, 4, -100, 2], [-100, -100, -100, -100]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_are_those_of_cross_entropy(labels, smoothing):
    torch.manual_seed(1)
    logits, right = torch.randn(4, 5, requires_grad=True), torch.tensor(labels)
    ours = summed_loss(logits, right, smoothing)
    theirs = cross_entropy(logits, right, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)
    (mine,) = torch.autograd.grad(ours / 3, logits)
    (wanted,) = torch.autograd.grad(theirs / 3, logits)
    torch.testing.assert_close(mine, wanted)


def test_one_more_way_back_through_a_graph_is_refused():
    logits = torch.randn(2, 5, requires_grad=True)
    loss = summed_loss(logits, torch.tensor([1, 2]), 0.0)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
