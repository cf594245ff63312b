r"""Trains the two judges, pixel classifiers, on real data only.

python -m launch.train_classifier --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import preflight, stage, trainers


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  preflight.check(job, stage.JUDGES, judges=False)
  trainers.train_all(job, 'classifier', 'second_classifier')


if __name__ == '__main__':
  startup.run(main)
