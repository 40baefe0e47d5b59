"""Times what the backends do; knows nothing of how they do it. Each module runs as `python -m handgrad.benchmarks.NAME`."""
