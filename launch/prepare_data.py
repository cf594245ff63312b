r"""Prepares a TFDS set as array_record, from the network or from raw files.

python -m launch.prepare_data --name=mnist --data_dir=DIR [--manual_dir=RAW]

Then --config.data.name=tfds:mnist --config.data.dir=DIR reads it. Only here is
TensorFlow needed: pip install -e '.[prepare]'. RAW holds the raw files under
their official names; files that are not there are downloaded.
"""

import os

from absl import flags

from launch import startup
from lcjax import errors

NAMES = ('mnist', 'fashion_mnist', 'celeb_a')

NAME = flags.DEFINE_string('name', None, f'One of {", ".join(NAMES)}.')
DATA_DIR = flags.DEFINE_string(
  'data_dir', None, "Where the prepared set goes, TFDS's data_dir."
)
MANUAL_DIR = flags.DEFINE_string(
  'manual_dir', None, 'Folder of raw files; TFDS checks their checksums.'
)


def prepare(name: str, data_dir: str, manual_dir: str | None) -> str:
  """Prepares one set.

  Args:
    name: one of `NAMES`.
    data_dir: where it goes.
    manual_dir: folder of raw files, or None to download them.

  Returns:
    The folder of the prepared set.

  Raises:
    UserError: something is not installed, or TFDS refuses the files.
  """
  try:
    import array_record  # noqa: F401
    import tensorflow  # noqa: F401
    import tensorflow_datasets
  except ImportError as error:
    raise errors.UserError(
      f'to prepare a set takes TensorFlow ({error}): '
      "pip install -e '.[prepare]', best in an environment of its own"
    ) from error
  builder = tensorflow_datasets.builder(
    name, data_dir=data_dir, file_format='array_record'
  )
  config = tensorflow_datasets.download.DownloadConfig(manual_dir=manual_dir)
  try:
    builder.download_and_prepare(download_config=config)
  # Whatever goes wrong here is of the files, the disk or the network.
  except Exception as error:
    raise errors.UserError(
      f'{name} cannot be prepared from {manual_dir or "the network"}: '
      f'{type(error).__name__}: {error}'
    ) from error
  return str(builder.data_path)


def main() -> None:
  """Flags, then one call."""
  if NAME.value not in NAMES:
    raise errors.UserError(
      f'--name={NAME.value} is not one of {", ".join(NAMES)}'
    )
  if not DATA_DIR.value:
    raise errors.UserError('--data_dir is missing: where the set will be')
  if MANUAL_DIR.value and not os.path.isdir(MANUAL_DIR.value):
    raise errors.UserError(f'--manual_dir={MANUAL_DIR.value} is not a folder')
  path = prepare(NAME.value, DATA_DIR.value, MANUAL_DIR.value)
  print(
    f'{path} is ready: --config.data.name=tfds:{NAME.value} '
    f'--config.data.dir={DATA_DIR.value}'
  )


if __name__ == '__main__':
  startup.run(main)
