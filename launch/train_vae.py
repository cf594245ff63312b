r"""Trains the unconditional VAE, without labels.

python -m launch.train_vae --config=configs/digits.py \
  --workdir=runs/digits
"""

from launch import startup
from lcjax.experiment import preflight, stage, train_vae


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  preflight.check(job, [stage.VAE], judges=False)
  train_vae.train_all(job)


if __name__ == '__main__':
  startup.run(main)
