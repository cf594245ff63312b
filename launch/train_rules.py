r"""Learns the rules of config.constraints, without labels.

python -m launch.train_rules --config=my_config.py --workdir=runs/digits

A rule is a function of decoded images, such as the number of dark regions that
a digit encloses; see `constraints` and `rules` in configs/base.py. Needs the
trained VAE, or your own model, and retrains nothing.
"""

from launch import startup
from lcjax.experiment import preflight, stage, train_rules


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  preflight.check_rules(job)
  trainings = stage.trainings(job.config, stage.GENERATOR)
  preflight.check(job, trainings, judges=False)
  train_rules.train_all(job)


if __name__ == '__main__':
  startup.run(main)
