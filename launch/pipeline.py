"""Every stage of one experiment, in order: the main job.

python -m launch.pipeline --config=configs/digits.py --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import pipeline


def main() -> None:
  """Flags, then one call."""
  pipeline.train_and_compare(startup.job())


if __name__ == '__main__':
  startup.run(main)
