r"""Samples with chosen attributes, or transforms given images.

python -m launch.generate --config=configs/digits.py --workdir=runs/digits \
  --start=encodings --mover=actor --labels=3,8 --images=a.png,b.png

Writes WORKDIR/generate/NAME.png and .npz, NAME being START_MOVER: a row for
each start, a column for each requested label vector.
"""

from absl import flags

from launch import startup
from lcjax.experiment import generate, requests


def define_flags() -> None:
  """Defines the flags that only this launcher has."""
  flags.DEFINE_enum(
    'start', 'prior', generate.STARTS, 'Where latents come from.'
  )
  flags.DEFINE_string(
    'mover',
    'actor',
    'What moves them: actor, optimizer, actor_then_optimizer, guided_denoiser, '
    'none, or actor_lambda_X of config.actor_critic.more_distance_weights.',
  )
  flags.DEFINE_list(
    'labels',
    [],
    'Requested label vectors, a column each: names of classes, or attributes '
    'joined by + (none for no attribute). Without: drawn from held-out rows.',
  )
  flags.DEFINE_multi_string(
    'images',
    [],
    'With --start=encodings: image files, cut and resized as the data are, or '
    'an .npz with uint8 "images"; joined by commas, or a flag for each. '
    'Without: the first held-out images.',
  )
  flags.DEFINE_string(
    'name',
    None,
    'Of the files. Without: START_MOVER, or START_MOVER_own with own labels or '
    'images.',
  )


def main() -> None:
  """Flags, then one call."""
  given = flags.FLAGS
  images, name = requests.image_paths(given.images), given.name
  if name is not None:
    requests.check_name(name)
  elif given.labels or images:
    name = f'{given.start}_{given.mover}_own'  # the defaults' files stay
  generate.generate(
    startup.job(),
    [(given.start, given.mover)],
    given.labels,
    images,
    name or '',
  )


if __name__ == '__main__':
  define_flags()
  startup.run(main)
