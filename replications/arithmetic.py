"""One way of computing on every x86-64 processor with AVX2, so that a number is the same to the byte on all of them.

Libraries choose their kernels by what the processor has, and kernels differ in the order of their sums. Every library
is therefore told to use its AVX2 kernels, and evidence is computed on one thread: with more, some libraries split a sum
among them. What each is told is read when it is loaded, so this comes before numpy and torch are imported.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

KERNELS = {
    "MKL_CBWR": "AVX2,STRICT",  # matrix products of torch; STRICT: the same for any alignment and number of threads
    "ATEN_CPU_CAPABILITY": "avx2",  # element-wise functions and reductions of torch
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # fused layers of torch
    "OPENBLAS_CORETYPE": "Haswell",  # numpy, scipy and scikit-learn
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",  # those of the named processor and no others
}
BEYOND = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}  # numpy warns of features that are not there
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
CHOSEN = ("MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")  # who sets one of these wants to see another one


def pin() -> None:
    """Have the libraries that this process and its children load use AVX2 kernels, where the processor has them.

    A value of CHOSEN that the caller has set stays, so that a run by other arithmetic can be compared.
    """
    os.environ.update(settings(os.environ, _flags()))
    os.environ.pop("OPENBLAS_L2_SIZE", None)  # sizes of blocks order a sum, too


def one_thread() -> None:
    """The same for the number of threads, whatever the caller has set."""
    os.environ.update(dict.fromkeys(THREADS, "1"))


def settings(environment: Mapping[str, str], flags: frozenset[str]) -> dict[str, str]:
    """What `pin` sets on a processor with these flags: nothing on one without AVX2, which has kernels of its own."""
    if "avx2" not in flags:
        return {}
    wanted = KERNELS | (BEYOND if "avx512f" in flags else {})
    return {name: value for name, value in wanted.items() if not (name in CHOSEN and name in environment)}


def is_pinned(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether numbers computed under this environment are those that any other processor with AVX2 computes."""
    return all(environment.get(name) == value for name, value in KERNELS.items())


def _flags() -> frozenset[str]:
    """Instruction sets of this processor, as Linux names them; elsewhere an x86-64 is taken to have AVX2 alone."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    if sys.platform != "linux":
        return frozenset({"avx2"})
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
