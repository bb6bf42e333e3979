"""Losses of lists: rankings of several answers."""
