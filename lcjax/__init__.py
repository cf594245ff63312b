"""Latent constraints: conditional generation without retraining.

Engel, Hoffman, Roberts, "Latent Constraints", arXiv:1711.05772. See
docs/library.md for the functions below with examples. Imports point one way:
`launch` -> `experiment` -> `evaluation` -> `movers` -> `constraints`,
`generators` -> `training` -> `latent` -> `losses`; `data` and `models` stand
alone.
"""

from importlib import metadata

from lcjax.constraints import rules
from lcjax.constraints.base import Constraint, Verdict
from lcjax.constraints.build import near, on_sample, re_encoded
from lcjax.constraints.compose import all_of, any_of, negate
from lcjax.constraints.grammar import parse_constraint
from lcjax.constraints.learn import learn_attributes, learn_realism
from lcjax.constraints.learn_rule import learn_rule
from lcjax.constraints.measurements import known_pixels, linear_measurement
from lcjax.constraints.rule_critic import RuleReport
from lcjax.constraints.rule_rounds import RuleRound
from lcjax.errors import UserError
from lcjax.evaluation.compare import Comparison, compare
from lcjax.generators.invert import Inverted, invert
from lcjax.generators.latent_model import (
  LatentData,
  LatentModel,
  encode,
  label_prior,
  latent_model,
)
from lcjax.movers.actor import Adversary, learn_actor
from lcjax.movers.base import Moved, Mover, verdicts
from lcjax.movers.denoiser import denoiser, learn_denoiser
from lcjax.movers.optimizer import optimizer
from lcjax.movers.starts import (
  encodings_start,
  mixture_start,
  noised_start,
  prior_start,
)
from lcjax.movers.wrappers import backtrack, retry, start_at, stay, then
from lcjax.training.optimizer_spec import OptimizerSpec, adam

__version__ = metadata.version('lcjax')

__all__ = [
  'Adversary',
  'Comparison',
  'Constraint',
  'Inverted',
  'LatentData',
  'LatentModel',
  'Moved',
  'Mover',
  'OptimizerSpec',
  'RuleReport',
  'RuleRound',
  'UserError',
  'Verdict',
  'adam',
  'all_of',
  'any_of',
  'backtrack',
  'compare',
  'denoiser',
  'encode',
  'encodings_start',
  'invert',
  'known_pixels',
  'label_prior',
  'latent_model',
  'learn_actor',
  'learn_attributes',
  'learn_denoiser',
  'learn_realism',
  'learn_rule',
  'linear_measurement',
  'mixture_start',
  'near',
  'negate',
  'noised_start',
  'on_sample',
  'optimizer',
  'parse_constraint',
  'prior_start',
  're_encoded',
  'retry',
  'rules',
  'start_at',
  'stay',
  'then',
  'verdicts',
]
