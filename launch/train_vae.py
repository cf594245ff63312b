r"""Trains the unconditional VAE. It sees no labels.

python -m launch.train_vae --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import train_vae


def main() -> None:
  """Flags, then one call."""
  train_vae.run(startup.job())


if __name__ == '__main__':
  startup.run(main)
