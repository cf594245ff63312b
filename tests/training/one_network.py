"""Trainings of a single network, for tests of what does not depend on it."""

from lcjax.training import state, steps

NAME = 'net'


def create(params, tx, average):
  """A state before its first step."""
  return state.create({NAME: state.create_network(params, tx, average)})


def make_step(*args, **kwargs):
  """The step that updates it: arguments of `steps.make_update`."""
  return steps.make_train_step({NAME: steps.make_update(*args, **kwargs)})


def network(current):
  """The network's state."""
  return current[NAME]


def params(current):
  """The network's parameters."""
  return network(current).params
