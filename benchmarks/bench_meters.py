"""Windows on counters of known power: error and cost, beside Zeus and CodeCarbon, in one run.

A process writes a powercap tree each millisecond, and NVML's functions are replaced by a counter of
100 ms; both count 100 W. Each tool opens a window, the machine sleeps, the tool closes it; the
error is that of its joules against 100 W x the seconds between. Zeus and CodeCarbon are read
through the objects that their monitors read at a window's ends. They are no dependency of
tostoolkit: ``pip install zeus codecarbon`` to have them in the table.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
import pandas as pd
from simulated_counters import WATTS, Device, Writer, fake_nvml, powercap_tree

from tostoolkit.measuring.meters import nvml, rapl
from tostoolkit.measuring.window import Window

WRAPS_AT = 262143.32885


class Patch:
    """What `fake_nvml` needs of pytest's monkeypatch."""

    @staticmethod
    def setattr(module, name, value):
        mock.patch.object(module, name, value, create=True).start()


def window(meter, counters=1):
    def run(seconds):
        begun = time.perf_counter()
        with Window(meter) as w:
            opened = time.perf_counter()
            time.sleep(seconds)
            closing = time.perf_counter()
        return w.energy_j / counters, w.time_s, time.perf_counter() - begun - (closing - opened)
    return run


def two_readings(start, joules):
    """A window that is the difference of two readings."""
    def run(seconds):
        begun = time.perf_counter()
        before = start()
        opened = time.perf_counter()
        time.sleep(seconds)
        closing = time.perf_counter()
        spent = joules(before, closing - opened)
        return spent, closing - opened, time.perf_counter() - begun - (closing - opened)
    return run


def zeus_tools(folder):
    from zeus.device.cpu.rapl import RAPLCPU
    from zeus.device.gpu.nvidia import NVIDIAGPU

    cpu, gpu = RAPLCPU(0, str(folder)), NVIDIAGPU(0)
    cpu.get_total_energy_consumption()  # starts its process that watches for wraps
    time.sleep(3)

    def read_cpu():
        return cpu.get_total_energy_consumption().cpu_mj / 1e3

    def read_gpu():
        return gpu.get_total_energy_consumption() / 1e3

    return {"powercap": two_readings(read_cpu, lambda a, s: read_cpu() - a),
            "nvml": two_readings(read_gpu, lambda a, s: read_gpu() - a)}


def codecarbon_tools(folder):
    import logging

    from codecarbon.core.cpu import IntelRAPL
    from codecarbon.core.gpu_nvidia import NvidiaGPUDevice
    from codecarbon.core.units import Time

    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    provider = folder.parent / "codecarbon" / "intel-rapl" / "subsystem"
    provider.mkdir(parents=True)
    (provider / "intel-rapl:0").symlink_to(folder / "intel-rapl:0")
    cpu = IntelRAPL(rapl_dir=str(provider))
    gpu = NvidiaGPUDevice(handle=0, gpu_index=0)

    def cpu_joules(_, seconds):
        details = cpu.get_cpu_details(Time(seconds))
        return 3.6e6 * sum(v for k, v in details.items() if "Energy" in k)

    def gpu_joules(_, seconds):
        gpu.delta(Time(seconds))
        return 3.6e6 * gpu.energy_delta.kWh

    return {"powercap": two_readings(cpu.start, cpu_joules),
            "nvml": two_readings(gpu.start, gpu_joules)}


def tools(folder):
    found = {"tostoolkit": {"powercap": window(rapl((folder,)), 3), "nvml": window(nvml(0))}}
    for name, make in (("Zeus", zeus_tools), ("CodeCarbon", codecarbon_tools)):
        try:
            found[name] = make(folder)
        except Exception as error:
            print(f"{name}: left out ({type(error).__name__}: {error})")
    return found


def rows(found):
    for counter, seconds, n in (("powercap", 0.053, 20), ("powercap", 1.037, 5),
                                ("nvml", 0.053, 20), ("nvml", 1.037, 8), ("nvml", 2.071, 4)):
        for tool, meters in found.items():
            runs = [meters[counter](seconds) for _ in range(n)]
            errors = [abs(joules / (WATTS * took) - 1) for joules, took, _ in runs]
            cost = statistics.median(run[2] for run in runs)
            yield (counter, seconds, tool, statistics.median(errors), max(errors), cost * 1e3)


def wrap_rows(folder):
    """A window in which the counter of packages starts again from 0."""
    with Writer(folder, start_j=WRAPS_AT - 400, wraps_at=WRAPS_AT):
        found = tools(folder)
        while int((folder / "intel-rapl:0" / "energy_uj").read_text()) / 1e6 < WRAPS_AT - 100:
            time.sleep(0.01)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor() as pool:
            runs = {tool: pool.submit(m["powercap"], 2.071) for tool, m in found.items()}
        for tool, run in runs.items():
            joules, took, _ = run.result()
            yield "powercap, wraps", 2.071, tool, abs(joules / (WATTS * took) - 1)


def main():
    fake_nvml(Patch, [Device()])
    import pynvml

    absent = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    for function in ("nvmlDeviceGetC2cModeInfoV", "nvmlDeviceGetPowerUsage",
                     "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetMemoryInfo"):
        Patch.setattr(pynvml, function, mock.Mock(side_effect=absent))
    Patch.setattr(pynvml, "nvmlDeviceGetUUID", lambda gpu: f"GPU-{gpu}")
    columns = ["counter", "window_s", "tool", "median_error", "largest_error", "open_close_ms"]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        folders = []
        for temporary in (one, two):
            folder = Path(temporary) / "powercap"
            folder.mkdir()
            folders.append(powercap_tree(folder, wraps_at=WRAPS_AT))
        with Writer(folders[0]):
            table = pd.DataFrame(rows(tools(folders[0])), columns=columns)
        wraps = pd.DataFrame(wrap_rows(folders[1]), columns=columns[:4])
    table = pd.concat([table, wraps])
    percent = "{:.3%}".format
    print(table.to_string(index=False, na_rep="", formatters={
        "median_error": percent, "largest_error": lambda x: "" if x != x else percent(x),
        "open_close_ms": lambda x: "" if x != x else f"{x:.2f}"}))


if __name__ == "__main__":
    main()
