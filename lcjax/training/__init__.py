"""Train steps, their compilation, the training loop, logs and checkpoints."""
