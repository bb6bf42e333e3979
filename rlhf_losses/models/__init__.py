"""Models: scores, architectures and adapters of transformers and PEFT models."""
