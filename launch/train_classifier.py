r"""Trains the two judges, pixel classifiers, on real data only.

python -m launch.train_classifier --config=configs/digits.py \
  --workdir=runs/digits

For a model without an encoder, it also trains the labeller, which is no judge.
"""

from launch import startup
from lcjax.experiment import preflight, stage, trainers


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  sections = [one.section for one in stage.CLASSIFIERS]
  trainings = stage.trainings(job.config, sections)
  preflight.check(job, trainings, judges=False)
  trainers.train_all(job, *sections)


if __name__ == '__main__':
  startup.run(main)
