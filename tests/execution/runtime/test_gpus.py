"""Against a library that answers as NVML does: the machines that run these tests have no GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from lazward.execution.runtime import gpus
from lazward.execution.runtime.gpus import Gpus, bind

# Two GPUs, of which the second does not report its power. The signatures are those of nvml.h.
LIBRARY = """
#include <stddef.h>
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } use_t;
static int first, second, started;
int nvmlInit_v2(void) { started = 1; return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = COUNT; return started ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = index ? &second : &first; return index < 2 ? 0 : 2; }
int nvmlDeviceGetMemoryInfo(void *device, memory_t *info) { info->total = 80000000000ULL; info->used = device == &first ? 20000000000ULL : 0; info->free = 0; return 0; }
int nvmlDeviceGetUtilizationRates(void *device, use_t *use) { use->gpu = device == &first ? 97 : 3; use->memory = 11; return 0; }
int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) { *milliwatts = 350000; return device == &first ? 0 : 3; }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned int *milliwatts) { *milliwatts = 700000; return 0; }
"""
compiler = shutil.which("cc") or shutil.which("gcc")


def library(folder: Path, count: int = 2) -> ctypes.CDLL:
    source, made = folder / "nvml.c", folder / f"nvml{count}.so"
    source.write_text(LIBRARY)
    subprocess.run([str(compiler), "-shared", "-fPIC", f"-DCOUNT={count}", "-o", str(made), str(source)], check=True)
    return ctypes.CDLL(str(made))


@pytest.mark.skipif(compiler is None, reason="there is no C compiler")
class TestNvml:
    def test_every_gpu_is_asked_and_what_one_does_not_report_is_left_out(self, tmp_path: Path):
        assert bind(library(tmp_path))() == {
            "gpu_0_utilization_percentage": 97, "gpu_0_memory_usage_megabytes": 20_000, "gpu_0_memory_usage_percentage": 25,
            "gpu_0_power_usage_watts": 350, "gpu_0_power_usage_percentage": 50,
            "gpu_1_utilization_percentage": 3, "gpu_1_memory_usage_megabytes": 0, "gpu_1_memory_usage_percentage": 0,
        }

    def test_none_is_no_gpu(self, tmp_path: Path):
        with pytest.raises(OSError, match="no GPU"):
            bind(library(tmp_path, 0))

    def test_a_library_of_another_kind_is_no_gpu(self):
        made = Gpus(lambda: bind(ctypes.CDLL(None)))
        assert made.look() == {}


class TestThread:
    def test_values_are_of_the_moment(self):
        numbers = iter(range(100))
        made = Gpus(lambda: lambda: {"n": next(numbers)})
        seen = [made.look() for _ in range(1000)]  # on a busy machine an answer may come later than is waited for
        values = [found["n"] for found in seen if found][:50]
        assert values == list(range(len(values))) and values

    def test_a_driver_that_does_not_answer_is_not_waited_for(self):
        go, asked = threading.Event(), threading.Event()

        def query() -> dict[str, float]:
            asked.set()
            go.wait()
            return {"n": 1}

        made = Gpus(lambda: query)
        assert made.look() == {}
        assert asked.wait(30)
        assert made.look() == {}
        go.set()
        assert any(made.look() for _ in range(600))

    @pytest.mark.parametrize("error", [OSError("none"), AttributeError("old library"), ValueError()])
    def test_a_fault_is_the_end_of_it(self, error: Exception):
        def fail() -> dict[str, float]:
            raise error

        made = Gpus(lambda: fail)
        assert [made.look() for _ in range(3)] == [{}] * 3


def test_is_asked_only_where_there_is_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    driver = tmp_path / "version"
    monkeypatch.setattr(gpus, "DRIVERS", (str(driver),))
    assert not gpus.there_may_be()
    driver.touch()
    assert gpus.there_may_be()
