"""Benchmarks. Run a script from the root of the repository as a module: `python -m benchmarks.layouts.throughput`."""
