"""Where latents come from and what moves them."""
