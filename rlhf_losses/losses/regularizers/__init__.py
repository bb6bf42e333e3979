"""Regularizers: losses that depend on the scores but not on the annotations."""
