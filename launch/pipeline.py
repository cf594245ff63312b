"""Runs all stages of one experiment in order.

python -m launch.pipeline --config=configs/digits.py --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import pipeline


def main() -> None:
  """Reads the flags and runs the launcher."""
  pipeline.train_and_compare(startup.job())


if __name__ == '__main__':
  startup.run(main)
