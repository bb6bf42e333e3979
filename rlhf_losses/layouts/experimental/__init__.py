"""Attention kernels that no GPU has measured yet."""
