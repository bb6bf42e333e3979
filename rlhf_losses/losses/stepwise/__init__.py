"""Losses of the steps of a text."""
