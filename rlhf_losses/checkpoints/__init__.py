"""Checkpoints that are whole or none, and the choice of the one that a run resumes from."""
