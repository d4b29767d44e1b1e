"""Counters of known power: a clock read as joules, powercap files that a process writes, NVML.

On a `Clock` that the test owns, what a window sees is exact, however busy the machine is.
"""

import math
import subprocess
import sys
import threading
import time

from tostoolkit.measuring.counters import Counter, Meter

WATTS = 100.0


class Clock:
    """Seconds that pass in `sleep` alone; threads that wait meanwhile wake when they are due.

    It stands for the modules `time` and `threading` of the package: the test and the threads that
    it starts take turns, so that reading a counter takes no time and a busy machine changes none.
    """

    def __init__(self):
        self.now, self._due, self._running = 0.0, {}, 0
        self._idle = threading.Semaphore(0)  # once for each thread that begins to wait, or ends

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        end = self.now + seconds
        self._settle()
        while self._due and min(self._due.values()) <= end:
            event = min(self._due, key=self._due.get)
            self.now = max(self.now, self._due[event])
            self._wake(event)
            self._settle()
        self.now = end

    def _wake(self, event):
        del self._due[event]
        self._running += 1
        event.go.release()

    def _settle(self):
        """Return once every thread waits for a later moment or has ended."""
        for _ in range(self._running):
            assert self._idle.acquire(timeout=60)
        self._running = 0

    def Thread(self, target, daemon):
        def run():
            target()
            self._idle.release()

        self._running += 1
        return threading.Thread(target=run, daemon=daemon)

    def Event(self):
        clock = self

        class Event:
            def __init__(self):
                self.flag, self.go = False, threading.Semaphore(0)

            def is_set(self):
                return self.flag

            def wait(self, timeout):
                clock._due[self] = clock.now + timeout
                clock._idle.release()
                self.go.acquire()

            def set(self):
                clock._settle()
                self.flag = True
                if self in clock._due:
                    clock._wake(self)

        return Event()


class Device:
    """A device of known power whose counter shows its joules late, as hardware does.

    Parameters
    ----------
    every_s : float
        Seconds between two updates of the counter.
    wraps_at, start_j : float
    watts : float
        From the start; see `set_power`.
    clock : module or Clock
    """

    def __init__(self, every_s=0.1, wraps_at=math.inf, start_j=0.0, watts=WATTS, clock=time):
        self.every_s, self.wraps_at, self.clock, self.readings = every_s, wraps_at, clock, 0
        self.began = clock.perf_counter()
        self.changes = [(self.began, start_j, watts)]

    def joules(self):
        self.readings += 1
        now = self.clock.perf_counter() - self.began
        shown = self.began + math.floor(now / self.every_s) * self.every_s
        at, joules, watts = next(c for c in reversed(self.changes) if c[0] <= shown)
        return (joules + watts * (shown - at)) % self.wraps_at

    def set_power(self, watts):
        now = self.clock.perf_counter()
        at, joules, before = self.changes[-1]
        self.changes.append((now, joules + before * (now - at), watts))

    def counter(self, name="gpu-0"):
        return Counter(name, self.joules, self.wraps_at)

    def meter(self, name="nvml"):
        return Meter(name, [self.counter()], "a GPU", "driver 1")


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
