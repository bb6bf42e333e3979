"""Losses of pairs: which of two answers is better."""
