"""Measurement of run time and memory, and a description of the machine."""

import ctypes
import gc
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from torch import nn


@dataclass
class Measurement:
    """Run time and memory of a piece of code.

    Attributes:
        seconds: run time.
        memory_mib: peak growth of the memory of the process, or of the GPU, in MiB.
    """

    seconds: float = 0.0
    memory_mib: float = 0.0


@contextmanager
def measure() -> Iterator[Measurement]:
    """Measure the code in the `with` block; the result is valid after the block."""
    measurement = Measurement()
    gc.collect()
    before = _reset_peak_memory()
    start = time.perf_counter()
    yield measurement
    _synchronize()
    measurement.seconds = time.perf_counter() - start
    measurement.memory_mib = _peak_memory() - before


def min_seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the shortest run time of several calls, after one call that is not measured."""
    function()
    return min(_seconds(function) for _ in range(repeats))


def device() -> Literal["cuda", "cpu"]:
    """Return the device of the models."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def matrix_product_rate(dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large matrix product, the best of ten."""
    size = 8192 if device() == "cuda" else 2048
    a, b = (torch.randn(size, size, dtype=dtype, device=device()) for _ in range(2))
    return 2 * size**3 / min(_seconds(lambda: a @ b) for _ in range(10))


def num_linear_parameters(model: nn.Module) -> int:
    """Return the number of weights in linear layers."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def environment() -> str:
    """Return hardware and versions in one line."""
    return f"{hardware()}; {versions()}"


def hardware() -> str:
    """Return the name of the GPU, or of the CPU with the number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def versions() -> str:
    """Return the versions of Python and of the main packages."""
    names = ("torch", "transformers", "trl", "peft")
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _reset_peak_memory() -> float:
    """Reset the recorded peak and return the current memory in MiB."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _process_memory("VmRSS")


def _peak_memory() -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else _process_memory("VmHWM")


def _process_memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
