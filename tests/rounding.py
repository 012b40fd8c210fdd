"""Sums that round as on no processor: `pytest -p rounding` moves the results of torch's reductions by up to two units
in the last place, otherwise for every shape, as kernels do that split a sum by the shape of what they are given.

The same call still gives the same bits. Two ways to compute the same, in other shapes, no longer do.
"""

import hashlib
from concurrent.futures.thread import _WorkItem
from functools import lru_cache

import pytest

REDUCTIONS = {
    "mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "sum", "mean", "std", "var", "var_mean", "cumsum",
    "_softmax", "_log_softmax", "logsumexp", "native_layer_norm", "_fused_rms_norm", "linalg_vector_norm",
    "_scaled_dot_product_flash_attention_for_cpu", "exp", "tanh", "sigmoid", "gelu", "silu", "log", "softplus",
}  # fmt: skip


@lru_cache(1024)
def factors(call, shape, dtype):
    """1 and a few units more or less for every element, drawn from what is called."""
    import torch

    seed = int.from_bytes(hashlib.sha256(repr((call, shape, dtype)).encode()).digest()[:7], "big")
    units = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed))
    return 1 + units.to(dtype) * torch.finfo(dtype).eps


def mode():
    """The mode under which torch rounds otherwise."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Rounding(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            name = function.__name__.partition(".")[0]
            first = result[0] if isinstance(result, tuple) else result
            if name in REDUCTIONS and first.dtype in (torch.float32, torch.float64):
                call = name, *(tuple(each.shape) for each in args if isinstance(each, torch.Tensor))
                moved = first * factors(call, tuple(first.shape), first.dtype)
                first.copy_(moved.where(first != first.round(), first))  # what is whole was counted, in no order
            return result

    return Rounding()


def pytest_configure():
    """Threads of pools round so as well: a mode holds for the thread that has set it."""
    run = _WorkItem.run

    def rounding(item):
        with mode():
            run(item)

    _WorkItem.run = rounding


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol():
    with mode():
        yield
