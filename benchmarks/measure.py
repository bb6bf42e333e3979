"""Seconds, memory, and the share of the machine's matrix-product rate that was used."""

import ctypes
import gc
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn


@dataclass
class Measured:
    """What one run took: seconds, and the memory in MiB by which the process grew at its peak."""

    seconds: float = 0.0
    memory: float = 0.0


@contextmanager
def measuring() -> Iterator[Measured]:
    """Measure what happens inside."""
    measured = Measured()
    gc.collect()
    before = _start_peak()
    start = time.perf_counter()
    yield measured
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    measured.seconds = time.perf_counter() - start
    measured.memory = _peak() - before


def matrix_rate(dtype: torch.dtype, device: str) -> float:
    """Return the floating-point operations a second of a large matrix product, the best of ten."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    return 2 * size**3 / min(_timed(lambda: a @ b) for _ in range(10))


def linear_parameters(model: nn.Module) -> int:
    """Return the number of weights that multiply every token."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def environment() -> str:
    """Return hardware and versions in one line."""
    return f"{hardware()}; {versions()}"


def hardware() -> str:
    """Return the device that models run on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_cpu()}, {torch.get_num_threads()} threads"


def versions() -> str:
    """Return the versions of what is measured."""
    names = ("torch", "transformers", "trl", "peft")
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _start_peak() -> float:
    """Begin to record the peak, and return the memory held now."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
