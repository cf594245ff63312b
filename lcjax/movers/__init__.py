"""What moves latents until a constraint is met, and where they start."""
