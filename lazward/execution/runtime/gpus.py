"""NVIDIA GPUs as their driver's library (NVML) reports them, under MLflow's names.

A driver that is in trouble answers late or never, and a keeper must not wait for it: it is asked in a thread of its own. Standard
library only; the keeper imports it where there is a driver.
"""

# No pathlib: see records.py.
from __future__ import annotations

import _thread  # threading takes longer to import, and is not needed
import os

from lazward.execution.processes import TYPE_CHECKING
from lazward.execution.runtime.machine import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")  # the last: Windows' subsystem for Linux
LIBRARIES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
PATIENCE_S = 0.05


def there_may_be() -> bool:
    return any(os.path.exists(path) for path in DRIVERS)


class Gpus:
    """connect: gives the function that asks all GPUs once; it is called in the thread, as that function is. Whatever either raises means
    that there are no values."""

    def __init__(self, connect: Callable[[], Callable[[], dict[str, float]]] | None = None):
        self._connect = connect or _nvml
        self._values: dict[str, float] = {}
        self._wanted, self._there = _thread.allocate_lock(), _thread.allocate_lock()
        self._wanted.acquire()
        self._there.acquire()
        self._asked = self._over = False
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:  # the machine can have no more threads
            self._over = True
        self._ask()  # the first time takes long: the library wakes the GPUs up

    def look(self) -> dict[str, float]:
        """The values of this moment; {} while no answer comes."""
        if self._over:
            return {}
        self._ask()
        if self._there.acquire(timeout=PATIENCE_S):
            self._asked = False
            return self._values
        return {}

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._wanted.release()

    def _run(self) -> None:
        try:
            query = self._connect()
            while True:
                self._wanted.acquire()
                self._values = query()
                self._there.release()
        except Exception:
            self._over = True


def _nvml() -> Callable[[], dict[str, float]]:
    import ctypes

    library = None
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            break
        except OSError:
            continue
    if library is None:
        raise OSError("there is no NVML")
    return bind(library)


def bind(library: Any) -> Callable[[], dict[str, float]]:
    """Starts NVML; a function that asks every GPU once. A value that a GPU does not report (power, often) is left out. Raises OSError
    where there is no GPU."""
    import ctypes

    class Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    class Use(ctypes.Structure):
        _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]

    def call(name: str, *arguments: Any) -> bool:
        return getattr(library, name)(*arguments) == 0

    count = ctypes.c_uint()
    if not call("nvmlInit_v2") or not call("nvmlDeviceGetCount_v2", ctypes.byref(count)) or not count.value:
        raise OSError("NVML reports no GPU")
    handles: list[tuple[int, Any]] = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle)):
            handles.append((index, handle))

    def query() -> dict[str, float]:
        values: dict[str, float] = {}
        for index, handle in handles:
            memory, use, power, limit = Memory(), Use(), ctypes.c_uint(), ctypes.c_uint()
            if call("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(use)):
                values[f"gpu_{index}_utilization_percentage"] = use.gpu
            if call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory)) and memory.total:
                values[f"gpu_{index}_memory_usage_megabytes"] = memory.used / MEGABYTE
                values[f"gpu_{index}_memory_usage_percentage"] = 100.0 * memory.used / memory.total
            if call("nvmlDeviceGetPowerUsage", handle, ctypes.byref(power)):
                values[f"gpu_{index}_power_usage_watts"] = power.value / 1000
                if call("nvmlDeviceGetEnforcedPowerLimit", handle, ctypes.byref(limit)) and limit.value:
                    values[f"gpu_{index}_power_usage_percentage"] = 100.0 * power.value / limit.value
        return values

    return query
