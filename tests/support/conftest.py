"""What runs in a process of its own, on another backend, is not collected."""

collect_ignore = ["derivatives.py", "jaxpr.py", "mixed_on_jax.py", "torch_counts.py",
                  "torch_modules.py"]
