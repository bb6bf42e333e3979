"""Checkpoints: what they contain, and which run may resume from them."""
