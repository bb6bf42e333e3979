"""Losses of one text: its rating or label."""
