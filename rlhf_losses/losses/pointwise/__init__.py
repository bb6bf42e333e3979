"""Losses of single answers with a rating, a label or attributes."""
