"""Shared code of the benchmarks: models, data, measurement, tables and studies over seeds."""
