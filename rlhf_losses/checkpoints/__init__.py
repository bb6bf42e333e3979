"""Checkpoints that are whole or none, and which run may resume from them."""
