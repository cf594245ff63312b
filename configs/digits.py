"""scikit-learn's 8x8 digits: the whole experiment in minutes on a CPU.

python -m launch.pipeline --config=configs/digits.py --workdir=runs/digits
"""

from typing import Any

import ml_collections

from configs import base

ABLATIONS: dict[str, dict[str, Any]] = {
  'default': {},
}


def get_config(ablation: str = 'default') -> ml_collections.ConfigDict:
  """The experiment, with the differences of one ablation."""
  config = base.get_config()
  config.data.name = 'digits'
  return base.ablate(config, ABLATIONS, ablation)
