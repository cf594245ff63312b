r"""Compares all movers with real data, reconstructions, prior and baselines.

python -m launch.compare --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import compare


def main() -> None:
  """Reads the flags and runs the launcher."""
  compare.compare_all(startup.job())


if __name__ == '__main__':
  startup.run(main)
