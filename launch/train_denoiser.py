r"""Trains the guided denoiser's two networks on noised encodings.

python -m launch.train_denoiser --config=configs/digits.py \
  --workdir=runs/digits

The denoiser sees no labels; D_attr(z_t, t) learns them from the same latents.
"""

from launch import startup
from lcjax.experiment import preflight, stage, trainers


def main() -> None:
  """Reads the flags and runs the launcher."""
  job = startup.job()
  preflight.check(job, [stage.DENOISER], judges=False)
  trainers.train_all(job, 'denoiser')


if __name__ == '__main__':
  startup.run(main)
