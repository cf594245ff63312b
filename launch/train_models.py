r"""Trains the generative models of a config, whatever their kind.

python -m launch.train_models --config=configs/digits.py --workdir=runs/digits

The model of config.generator, and those of config.alternatives.
"""

from launch import startup
from lcjax.experiment import preflight, stage, trainers


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  sections = [one.section for one in stage.MODEL_STAGES]
  trainings = stage.trainings(job.config, sections)
  preflight.check(job, trainings, judges=False)
  trainers.train_all(job, *sections)


if __name__ == '__main__':
  startup.run(main)
