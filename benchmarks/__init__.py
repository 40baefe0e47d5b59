"""Times what the backends do, and knows nothing of how. Each module runs as `python -m handgrad.benchmarks.NAME`."""
