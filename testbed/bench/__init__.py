"""Benchmarks, each beside its reference in the same run."""
