"""Sweeps of runs that take no time, without Keras: for tests that kill them.

``python sweep_lives.py lives OUT KILLS SEED`` forks sweep after sweep of one file, kills each at a
random moment and says what it saw, as JSON; ``... once OUT [PAUSE [BYTES [USER]]]`` makes one
sweep, whose runs take PAUSE seconds, where a file may hold no more than BYTES, as USER.
"""

import json
import math
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import filelock  # noqa: F401 (here, since the user that this process becomes may not read it)
import pandas as pd
import tqdm  # noqa: F401

from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import runs as runs_file
from tostoolkit.measuring import sweep
from tostoolkit.measuring.measure import Measurement

SET = pd.DataFrame({"configuration": [f"width={i}" for i in range(200)], "batch_size": 1,
                    "width": range(200), "family": "feed_forward"})
REPEATS = 40
MEASURED = Measurement(
    energy_j=0.5, time_s=0.25, missing="", steps=3, window_s=2.0, time_spread=0.1, warmup_steps=5,
    counter_updates=7, meter="fake", device="a device", driver="1", temperature_c=math.nan,
    power_w=2.0)


def fake(pause=0.0):
    def measure(*args, **kwargs):
        time.sleep(pause)
        return MEASURED

    one_run.measure = one_run.idle = measure
    one_run._step = lambda *args: None
    sweep.describe = lambda meter: {
        "host": "here", "device_id": "cpu", "device": "a device", "meter": "fake", "driver": "1",
        "backend": "tensorflow", "python": "3", **dict.fromkeys(runs_file.LIBRARIES, "1"),
        "cores": 2}


def run(out, report, repeats=REPEATS):
    """Sweep, and report each run's configuration and repeat once it is said to be durable."""
    append = runs_file.RunsFile.append

    def append_and_report(self, row):
        append(self, row)
        report(f"{row['configuration']},{row['repeat']}\n")

    runs_file.RunsFile.append = append_and_report
    sweep.run_sweep(SET, out, repeats=repeats, meter=None, progress=False)


def write_in_two_pieces(file, data):
    half = len(data) // 2
    os.write(file, data[:half])
    time.sleep(0.002)
    os.write(file, data[half:])


def lives(out, kills, seed):
    rng = random.Random(seed)
    reported, torn, killed, kept, lost = [], 0, 0, b"", []
    while killed < kills:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            if killed % 2:
                runs_file._write_all = write_in_two_pieces
            run(out, lambda line, pipe=writer: os.write(pipe, line.encode()))
            os._exit(0)
        os.close(writer)
        first = os.read(reader, 1) if killed % 4 else b""  # else as it starts or resumes, too
        time.sleep(rng.uniform(0, 0.05 if first else 0.2))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with open(reader, "rb") as pipe:
            lines = (first + pipe.read()).decode().splitlines()
        reported += [line for line in lines if "idle" not in line]
        if os.WIFEXITED(status):
            break
        killed += 1
        data = out.read_bytes() if out.exists() else b""
        torn += not data.endswith(b"\n") and bool(data)
        if not data.startswith(kept):
            lost.append("a line changed")
        kept = data[:data.rfind(b"\n") + 1]
    return {"killed": killed, "torn": torn, "reported": reported, "lost": lost}


if __name__ == "__main__":
    command, out, *numbers = sys.argv[1:]
    out = Path(out)
    if command == "lives":
        fake()
        print(json.dumps(lives(out, *map(int, numbers))))
    else:
        fake(float(numbers[0]) if numbers else 0.0)
        if len(numbers) > 2:
            os.setgroups([])
            os.setgid(int(numbers[2]))
            os.setuid(int(numbers[2]))
        if len(numbers) > 1:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(numbers[1]),) * 2)
        try:
            run(out, lambda line: print(line, end="", flush=True), repeats=1)
        except OSError as error:
            sys.exit(f"{type(error).__name__}: {error}")
