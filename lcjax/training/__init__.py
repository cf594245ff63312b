"""Pure train steps, their compilation, the loop around them, checkpoints."""
