"""Run tests as another processor would round, and say what its last digits change.

``python tests/support/processors.py [pytest arguments]`` takes from NumPy its vector units, gives
OpenBLAS
another kernel and one thread, and glibc its plain functions; shows that this changes last digits;
runs the tests; and counts the files of the notebooks that then differ in their bytes from those
committed, though in nothing that they show.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "processor"  # what the tests write
TESTS = ["test_notebooks", "test_check", "figures", "models/test_model_sets", "models/test_design",
         "laws", "circuits/test_tables"]
CORES = {"x86_64": "Nehalem", "amd64": "Nehalem", "aarch64": "ARMV8", "arm64": "ARMV8"}

#: Prints a hash of each result: what a processor may round in its own way.
PROBE = """
import hashlib, numpy as np
x = np.random.default_rng(0).standard_normal((400, 40))
results = {"exp": np.exp(x), "log": np.log(abs(x)), "power": abs(x) ** 1.3, "product": x.T @ x,
           "least squares": np.linalg.lstsq(x[:, 1:], x[:, 0])[0]}
print(*(f"{k}:{hashlib.sha256(v.tobytes()).hexdigest()[:8]}" for k, v in results.items()), sep=",")
"""


def settings() -> dict:
    """Return the variables under which this processor rounds as another one."""
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(found), "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": CORES.get(platform.machine().lower(), ""),
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"}


def changed(environment) -> list[str]:
    """Return which results of the probe have other last digits in an environment."""
    here, there = (subprocess.run([sys.executable, "-c", PROBE], env=env, check=True, text=True,
                                  capture_output=True).stdout.strip().split(",")
                   for env in (None, environment))
    return [a.split(":")[0] for a, b in zip(here, there, strict=True) if a != b]


def other_bytes(kept=KEPT) -> tuple[list[str], int]:
    """Return which files that the notebooks wrote have other bytes, and how many there are."""
    pairs = [(ROOT / folder / path.name, path) for path in kept.glob("**/out/*")
             for folder in ("figures", "data/derived") if (ROOT / folder / path.name).exists()]
    return sorted(a.name for a, b in pairs if a.read_bytes() != b.read_bytes()), len(pairs)


def main(arguments):
    environment = os.environ | settings()
    results = changed(environment)
    if not results:
        sys.exit("processors: these settings change no last digit here, so nothing would be shown: "
                 f"{settings()}")
    print(f"other last digits in: {', '.join(results)}", flush=True)
    tests = arguments or [str(ROOT / "tests" / (f"{name}.py" if "test_" in name else name))
                          for name in TESTS]
    KEPT.parent.mkdir(exist_ok=True)
    code = subprocess.run([sys.executable, "-m", "pytest", "-q", f"--basetemp={KEPT}", *tests],
                          cwd=ROOT, env=environment).returncode
    names, n = other_bytes()
    print(f"{len(names)} of {n} files that the notebooks wrote differ in bytes from those "
          f"committed, so that a test of bytes would fail here: {', '.join(names) or 'none'}")
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
