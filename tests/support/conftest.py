"""What runs in a process of its own, on another backend, is not collected."""

collect_ignore = ["jaxpr.py", "torch_counts.py"]
