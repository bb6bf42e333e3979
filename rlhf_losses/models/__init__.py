"""Scores, architectures and adapters of transformers and PEFT models."""
