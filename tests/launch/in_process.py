"""A job of flags, for what needs no launcher: compiled programs are kept."""

import ast
import contextlib

from etils import epath

from configs import base
from lcjax.experiment import jobs


def job_of(config, folder, flags):
  """The job of a config after flags such as '--config.vae.latent_size=4'."""
  for flag in flags:
    key, value = flag.removeprefix('--config.').split('=', 1)
    with contextlib.suppress(ValueError, SyntaxError):  # of a bare text
      value = ast.literal_eval(value)
    config.update_from_flattened_dict({key: value})
  base.validate(config)
  return jobs.Job(config, epath.Path(folder))
