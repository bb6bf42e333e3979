"""What is done to scores after training."""
