"""Counters of known power: a clock read as joules, powercap files that a process writes, NVML."""

import math
import subprocess
import sys
import time

from tostoolkit.measuring.meters import Counter, Meter

WATTS = 100.0


class Device:
    """A device of known power whose counter shows its joules late, as hardware does.

    Parameters
    ----------
    every_s : float
        Seconds between two updates of the counter.
    wraps_at, start_j : float
    idle_w : float
        Watts while it does not work; see `work`.
    """

    def __init__(self, every_s=0.1, wraps_at=math.inf, start_j=0.0, watts=WATTS, idle_w=None):
        self.every_s, self.wraps_at, self.watts = every_s, wraps_at, watts
        self.changes = [(time.perf_counter(), start_j, watts if idle_w is None else idle_w)]
        self.idle_w = idle_w
        self.began = self.changes[0][0]

    def joules(self):
        now = time.perf_counter() - self.began
        shown = self.began + math.floor(now / self.every_s) * self.every_s
        at, joules, watts = next(c for c in reversed(self.changes) if c[0] <= shown)
        return (joules + watts * (shown - at)) % self.wraps_at

    def _set(self, watts):
        now = time.perf_counter()
        at, joules, before = self.changes[-1]
        self.changes.append((now, joules + before * (now - at), watts))

    def work(self, seconds):
        self._set(self.watts)
        time.sleep(seconds)
        self._set(self.idle_w)

    def counter(self, name="gpu-0"):
        return Counter(name, self.joules, self.wraps_at)

    def meter(self, name="nvml"):
        return Meter(name, "a GPU", "driver 1", (self.counter(),))


def powercap_tree(folder, joules=1.0, wraps_at=262143.32885):
    """Write a tree such as Linux shows for two packages, one with memory; return `folder`."""
    domains = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
               "intel-rapl:1": "package-1", "intel-rapl:2": "psys"}
    for domain, name in domains.items():
        (folder / domain).mkdir()
        (folder / domain / "name").write_text(name + "\n")
        (folder / domain / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
        (folder / domain / "max_energy_range_uj").write_text(f"{round(wraps_at * 1e6)}\n")
    return folder


_WRITER = """
import os, sys, time
watts, every, start, wraps, *paths = sys.argv[1:]
watts, every, start, wraps = map(float, (watts, every, start, wraps))
files = [os.open(path, os.O_WRONLY) for path in paths]
began, n = time.perf_counter(), 0
print("ready", flush=True)
while True:
    n += 1
    while time.perf_counter() < began + n * every:
        time.sleep(min(every / 20, 1e-4))
    n = int((time.perf_counter() - began) / every)
    text = b"%020d\\n" % round((start + watts * n * every) % wraps * 1e6)
    for file in files:
        os.pwrite(file, text, 0)
"""


class Writer:
    """A process that updates powercap files: each counts `WATTS` in steps of `every_s`."""

    def __init__(self, folder, every_s=0.001, start_j=1.0, wraps_at=262143.32885):
        paths = [folder / f"intel-rapl:{d}" / "energy_uj" for d in ("0", "0:1", "1")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(WATTS), str(every_s), str(start_j), str(wraps_at),
             *map(str, paths)], stdout=subprocess.PIPE)

    def __enter__(self):
        self.process.stdout.readline()
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def fake_nvml(monkeypatch, devices, name="NVIDIA H200"):
    """Put `devices` behind NVML's functions, as GPUs 0, 1, ...; energies in integer millijoules."""
    import pynvml

    def by_uuid(uuid):
        return int(uuid.removeprefix("GPU-"))

    for function, value in {
        "nvmlInit": lambda: None, "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda i: i, "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: int(devices[gpu].joules() * 1e3),
        "nvmlDeviceGetName": lambda gpu: name, "nvmlDeviceGetIndex": lambda gpu: gpu,
        "nvmlSystemGetDriverVersion": lambda: "570.1",
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 41,
        "nvmlDeviceGetClockInfo": lambda gpu, clock: 1980,
    }.items():
        monkeypatch.setattr(pynvml, function, value)
