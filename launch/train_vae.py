r"""Trains the unconditional VAE, without labels.

python -m launch.train_vae --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import preflight, stage, trainers


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  preflight.check(job, [stage.VAE], judges=False)
  trainers.train_all(job, 'vae')


if __name__ == '__main__':
  startup.run(main)
