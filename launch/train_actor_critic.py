r"""Trains optimizer-G's critics, then the actors with their critics.

python -m launch.train_actor_critic --config=configs/digits.py \
  --workdir=runs/digits

The data set is encoded once; these trainings see only encodings and labels.
"""

from launch import startup
from lcjax.experiment import preflight, stage, trainers


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  trainings = stage.LATENT_CRITICS, *stage.actors(job.config).values()
  preflight.check(job, trainings, judges=False)
  trainers.train_all(job, 'latent_critics', 'actor_critic')


if __name__ == '__main__':
  startup.run(main)
