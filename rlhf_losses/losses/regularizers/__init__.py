"""Losses that look at scores alone: they fix the zero and the scale."""
