r"""Trains the pixel classifier that judges samples, on real data only.

python -m launch.train_classifier --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import preflight, stage, train_classifier


def main() -> None:
  """Flags, then one call."""
  job = startup.job()
  preflight.check(job, [stage.CLASSIFIER], judges=False)
  train_classifier.train_all(job)


if __name__ == '__main__':
  startup.run(main)
