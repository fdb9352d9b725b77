"""The program's speed beside its peers', measured in one run: ``python -m benchmarks``."""
