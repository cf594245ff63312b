r"""Trains optimizer-G's critics, then the actors with their critics.

python -m launch.train_actor_critic --config=configs/digits.py \
  --workdir=runs/digits

The data set is encoded once; these trainings see only encodings and labels.
"""

from launch import startup
from lcjax.experiment import preflight, stage, train_actor_critic


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  trainings = stage.LATENT_CRITICS, *stage.actors(job.config).values()
  preflight.check(job, trainings, judges=False)
  train_actor_critic.train_all(job)


if __name__ == '__main__':
  startup.run(main)
