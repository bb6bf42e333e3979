"""Losses of lists of answers to one prompt."""
