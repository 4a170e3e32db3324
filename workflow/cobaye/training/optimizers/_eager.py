"""torch's optimizers without the import of torch's compiler, which takes as long as torch's own."""

from __future__ import annotations

import functools
import inspect

import torch

DECORATED = ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")


@functools.cache
def eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return a class of `torch.optim` whose methods do not import `torch._dynamo`.

    Their decorators do, at the first call, for the sake of `torch.compile`. That of `step` also
    switches gradients off, as `torch.no_grad` does here.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in DECORATED}
    methods["step"] = torch.no_grad()(methods["step"])
    return type(kind.__name__, (kind,), methods)
