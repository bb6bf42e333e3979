"""Losses of the steps of an answer."""
