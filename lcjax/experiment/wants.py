"""`config.want`: how the constraints of an experiment are composed.

Without it, all hold: realism, attributes, near and those of
`config.constraints`, each with the weight of its section.
"""

import dataclasses
from collections.abc import Collection, Mapping

import ml_collections

from lcjax import errors
from lcjax.constraints import base, compose, grammar

# Names that are always there; the others are those of `config.constraints`.
REALISM, ATTRIBUTES, NEAR = 'realism', 'attributes', 'near'
_OWN = REALISM, ATTRIBUTES, NEAR
# The score of a denoiser is realism: its samples are taken to be realistic.
OF_DENOISER = (REALISM,)
# What the encoding of a decoded sample is not asked.
OF_ACCEPTANCE = REALISM, NEAR

# Constraints that a config adds, with their weights, by name.
Further = Mapping[str, tuple[base.Constraint, float]]


@dataclasses.dataclass(frozen=True)
class Want:
  """What is asked of latents besides the learned constraints.

  Attributes:
    further: constraints of `config.constraints`.
    node: `config.want`, parsed; None if it is empty.
  """

  further: Further = dataclasses.field(default_factory=dict)
  node: grammar.Node | None = None

  def compose(
    self,
    parts: Mapping[str, base.Constraint],
    own: Mapping[str, float],
    assumed: Collection[str] = (),
  ) -> compose.AllOf | None:
    """Composes learned constraints and those of the config.

    Args:
      parts: learned constraints by name.
      own: their weights.
      assumed: names that hold anyway, see `grammar.build`.

    Returns:
      The constraint; None if nothing is left.
    """
    further = {name: part for name, (part, _) in self.further.items()}
    own = {**own, **{name: w for name, (_, w) in self.further.items()}}
    every = {**parts, **further}
    if self.node is not None:
      return grammar.build(self.node, every, own, assumed)
    kept = [name for name in every if name not in assumed]
    if not kept:
      return None
    return compose.all_of(
      *(every[name] for name in kept), weights=[own[name] for name in kept]
    )


ALL = Want()  # of the learned constraints


def parse(config: ml_collections.ConfigDict) -> grammar.Node | None:
  """`config.want`, parsed; None if it is empty.

  Raises:
    UserError: it is no composition of the constraints of the config.
  """
  if not config.want:
    return None
  return parse_text(config, config.want, 'config.want')


def parse_text(
  config: ml_collections.ConfigDict, text: str, what: str
) -> grammar.Node:
  """A composition of the constraints of a config, parsed.

  Args:
    config: of the experiment.
    text: of the composition.
    what: the config key of the text, for errors.

  Raises:
    UserError: it is no composition of the constraints of the config.
  """
  for name in config.constraints:
    own = f'config.constraints.{name} with {what}={text!r}'
    if name in _OWN:
      raise errors.UserError(
        f'{own}: {name!r} is the name of a constraint that is always there: '
        'choose another'
      )
    grammar.check_name(name, own)
  names = (*_OWN, *config.constraints)
  node = grammar.parse(text, names, what, (NEAR,))
  negated = grammar.negated_names(node)
  if ATTRIBUTES in negated and config.denoise.mixture_above < 1:
    raise errors.UserError(
      f'{what}={text!r} asks for the opposite of attributes, which '
      'the class mixture of the denoiser has not: set '
      f'config.denoise.mixture_above={config.denoise.mixture_above} to 1'
    )
  return node


def names_of(config: ml_collections.ConfigDict, name: str) -> tuple[str, ...]:
  """Names of the constraints in an entry of `config.wants`."""
  what = f'config.wants.{name}'
  return grammar.names(parse_text(config, config.wants[name], what))
