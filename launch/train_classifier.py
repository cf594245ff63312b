r"""Trains the pixel classifier that judges samples, on real data only.

python -m launch.train_classifier --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import train_classifier


def main() -> None:
  """Flags, then one call."""
  train_classifier.run(startup.job())


if __name__ == '__main__':
  startup.run(main)
