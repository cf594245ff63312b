"""Rules that a config names, and where what is learned of them is stored.

    config.constraints.round = {'kind': 'rule', 'rule': 'holes', 'weight': 3.0}
    config.constraints.mine = {'kind': 'rule', 'rule': 'my_file:function'}

See `configs/base.py` for the keys of an entry, and `train_rules` for learning.
"""

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from etils import epath

from lcjax import errors
from lcjax.constraints import rule_scores, rules
from lcjax.experiment import files, jobs, plugins, stage
from lcjax.experiment import settings as settings_lib

KIND = 'rule'
FOLDER = 'rules'
REPORT = 'report.json'
LEVEL = 0.5
_PARAMETERS = 'parameters'  # their digest, in the report
_TRIED = 3  # images, before any training


class Entry(NamedTuple):
  """An entry of `config.constraints` of the kind 'rule'.

  Attributes:
    name: of the constraint.
    rule: a name in `rules.TABLE`, or 'my_file:NAME'.
    arguments: of the rule.
    level: a sample obeys whose score is at least this.
    weight: of the loss.
    section: `config.rules` with the entry's values.
  """

  name: str
  rule: str
  arguments: dict[str, Any]
  level: float
  weight: float
  section: ml_collections.ConfigDict

  @property
  def what(self) -> str:
    """The config key of the entry."""
    return f'config.constraints.{self.name}'

  @property
  def settings(self) -> dict[str, Any]:
    """All that the result depends on, besides data and VAE."""
    found = {'rule': self.rule, 'arguments': self.arguments}
    return found | {'level': self.level} | self.section.to_dict()

  def make(self) -> rule_scores.Rule:
    """The rule; UserError if there is none, or it takes other arguments."""
    if ':' in self.rule:
      fn = plugins.load(self.rule, f'{self.what}.rule')
      if not callable(fn):
        raise errors.UserError(
          f'{self.what}.rule={self.rule!r} is not a function'
        )
      self._check(fn, None)
      return functools.partial(fn, **self.arguments)
    if self.rule not in rules.TABLE:
      names = [*rules.TABLE, "'my_file:NAME' of your own file"]
      raise errors.UserError(
        f'{self.what}.rule={self.rule!r} does not exist: give one of '
        f'{errors.listed(names)}'
      )
    factory = rules.TABLE[self.rule]
    self._check(factory)
    try:
      return factory(**self.arguments)
    except (TypeError, ValueError) as error:
      raise errors.UserError(
        f'{self.what}.arguments={self.arguments}: {error}'
      ) from error

  def _check(self, fn: Any, *given: Any) -> None:
    try:
      inspect.signature(fn).bind(*given, **self.arguments)
    except TypeError as error:
      raise errors.UserError(
        f'{self.what}.arguments={self.arguments}: {error}'
      ) from error


def is_rule(entry: Mapping[str, Any]) -> bool:
  """Whether an entry of `config.constraints` is a rule."""
  return entry.get('kind') == KIND


def entries(config: ml_collections.ConfigDict) -> dict[str, Entry]:
  """The rules of a config, by name.

  Raises:
    UserError: a setting is wrong, or there is no such rule.
  """
  return {
    name: _parse(name, entry, config)
    for name, entry in config.constraints.to_dict().items()
    if is_rule(entry)
  }


def _parse(
  name: str, entry: Mapping[str, Any], config: ml_collections.ConfigDict
) -> Entry:
  what = f'config.constraints.{name}'
  if not name.isidentifier():  # it names a folder
    raise errors.UserError(
      f'{what}: the name of a rule must consist of letters, digits and _'
    )
  settings = {key: value for key, value in entry.items() if key != 'kind'}
  rule, arguments = settings.pop('rule', None), settings.pop('arguments', {})
  level, weight = settings.pop('level', LEVEL), settings.pop('weight', 1.0)
  if not isinstance(rule, str):
    raise errors.UserError(
      f"{what} has no 'rule': give one of "
      f'{errors.listed([*rules.TABLE, repr("my_file:NAME")])}'
    )
  if not isinstance(arguments, Mapping):
    raise errors.UserError(f'{what}.arguments={arguments!r} must be a dict')
  for key, value, most in (('level', level, 1.0), ('weight', weight, np.inf)):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
      not is_number or not 0 <= value <= most or (key == 'level' and not value)
    ):
      raise errors.UserError(
        f'{what}.{key}={value!r} must be '
        + ('in (0, 1]' if key == 'level' else 'at least 0')
      )
  section = settings_lib.with_values(config.rules, settings, what)
  found = Entry(
    name, rule, dict(arguments), float(level), float(weight), section
  )
  found.make()
  return found


def try_on(config: ml_collections.ConfigDict, images: np.ndarray) -> None:
  """Asks every rule of a few images uint8 [N, H, W, C], before any training."""
  few = images[:_TRIED].astype(np.float32) / 255.0
  for name, entry in entries(config).items():
    rule_scores.ask(entry.make(), name, few, 'training images')


def folder_of(workdir: epath.Path, replicate: int, name: str) -> epath.Path:
  """Of what a replicate has learned of a rule."""
  return stage.root_of(workdir, replicate) / FOLDER / name


def parameters(job: jobs.Job, replicate: int) -> dict[str, Any]:
  """Digests of what is learned of each rule; None where nothing is."""
  found: dict[str, Any] = {}
  for name, entry in job.config.constraints.to_dict().items():
    if is_rule(entry):
      path = folder_of(job.workdir, replicate, name) / REPORT
      try:
        found[f'{FOLDER}/{name}'] = json.loads(path.read_text())[_PARAMETERS]
      except files.DAMAGE:
        found[f'{FOLDER}/{name}'] = None
  return found


def calls(
  job: jobs.Job, replicate: int, config: ml_collections.ConfigDict
) -> dict[str, int]:
  """Calls that it took to learn the rules of a config, by name."""
  found = {}
  for name in entries(config):
    path = folder_of(job.workdir, replicate, name) / REPORT
    found[name] = int(files.read_json(path)['calls'])
  return found
