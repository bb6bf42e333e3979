"""Processes of a machine: the launcher that started them, and the folders that they write into."""
