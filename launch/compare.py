r"""Judges every mover beside floor, ceiling, prior and cheap baselines.

python -m launch.compare --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import compare


def main() -> None:
  """Flags, then one call."""
  compare.compare_all(startup.job())


if __name__ == '__main__':
  startup.run(main)
