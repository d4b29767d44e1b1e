"""The oracle runs in a process of its own, on JAX, and not in that of the tests."""

collect_ignore = ["jaxpr.py"]
