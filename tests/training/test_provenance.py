"""What a refusal says: the key or the data, and a remedy that helps."""

import shlex
import sys

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from configs import base
from lcjax.training import provenance


def test_first_difference():
  a = {'.x.y': 1, '.x.z': 2, '.w': 3}
  assert provenance.first_difference(a, a) is None
  assert provenance.first_difference(a, a | {'.x.z': 4}) == ('.x.z', 2, 4)
  found = provenance.first_difference({'.w': 3}, {'.w': 3, '.v': 1})
  assert found == ('.v', provenance.MISSING, 1)


def test_a_key_that_was_not_there_had_its_default():
  stored = {'vae': {'latent_size': 8}, 'seed': 0}
  now = {'vae': {'latent_size': 8, 'dropout': 0.0, 'widths': (4, 5)}, 'seed': 0}
  advice = provenance.Advice(
    defaults={'vae.dropout': 0.0, 'vae.widths': [4, 5], 'vae.latent_size': 16}
  )
  assert provenance.refusal('w/vae', stored, now, advice) is None
  now['vae']['dropout'] = 0.1
  said = str(provenance.refusal('w/vae', stored, now, advice))
  assert 'vae.dropout' in said and 'leave out --config.vae.dropout' in said
  # A key that was stored counts with its value, not with the default.
  now['vae'].update(dropout=0.0, latent_size=16)
  said = str(provenance.refusal('w/vae', stored, now, advice))
  assert 'repeat --config.vae.latent_size=8' in said


def test_a_section_that_is_read_no_more_refuses_nothing():
  stored = {'vae': {'latent_size': 8}, 'optimize': {'max_steps': 3}, 'seed': 0}
  now = {'vae': {'latent_size': 8}, 'seed': 0}
  assert provenance.refusal('w/vae', stored, now) is None


def said(stored, current, **advice):
  error = provenance.refusal(
    'w/vae', stored, current, provenance.Advice(**advice)
  )
  return str(error)


@pytest.mark.parametrize(
  ('old', 'new', 'way'),
  [
    ({'latent_size': 8}, {'latent_size': 16}, '--config.vae.latent_size=8'),
    (
      {'hidden_sizes': [16]},
      {'hidden_sizes': (8, 8)},
      "'--config.vae.hidden_sizes=(16,)'",
    ),
    ({'flag': False}, {'flag': True}, '--config.vae.flag=False'),
    ({'dir': 'a b'}, {'dir': ''}, "'--config.vae.dir=a b'"),
    (
      {'names': ['Male', 'Bald']},
      {'names': ()},
      """'--config.vae.names=("Male", "Bald")'""",
    ),
    (
      {'a': 1, 'b': 2, 'c': 3},
      {'a': 1, 'b': 3, 'c': 4},
      '--config.vae.b=2 --config.vae.c=3',
    ),
    (
      {'optimizer': {'arguments': {'nesterov': True}}},
      {'optimizer': {'arguments': {}}},
      """'--config.vae.optimizer.arguments={"nesterov": True}'""",
    ),
  ],
)
def test_an_override_is_to_be_repeated(old, new, way):
  text = said({'vae': old}, {'vae': new})
  assert f': repeat {way}, take another --workdir, or --overwrite' in text


def test_many_keys_are_another_config_file():
  old, new = ({str(i): value for i in range(9)} for value in (1, 2))
  text = said(old, new)
  assert 'config.0=1, now it is 2: use the earlier --config, as 9 keys' in text
  assert '--config.0' not in text


def test_what_had_no_key_is_to_be_left_out():
  old = {'optimizer': {'arguments': {}}}
  new = {'optimizer': {'arguments': {'nesterov': True}}}
  assert ': leave out --config.optimizer.arguments, take' in said(old, new)


def test_the_seed_of_a_replicate_is_not_that_of_the_flag():
  assert 'config.seed=5, now it is 0: repeat --config.seed=5,' in said(
    {'seed': 7}, {'seed': 2}, replicate=2
  )


def test_no_flag_is_advised_where_an_ablation_sets_the_key():
  text = said(
    {'actor_critic': {'distance_weight': 0.0}},
    {'actor_critic': {'distance_weight': 0.5}},
    varied=('actor_critic.distance_weight',),
  )
  assert 'repeat' not in text
  assert 'set actor_critic.distance_weight back in the ablation' in text


@pytest.fixture
def parse(monkeypatch):
  """Overrides as a shell and the flags read them."""

  def parse(words):
    values = flags.FlagValues()
    given = ['x', *shlex.split(words)]
    monkeypatch.setattr(sys, 'argv', given)
    config = base.get_config()
    config_flags.DEFINE_config_dict('config', config, flag_values=values)
    values(given)
    return config

  return parse


def test_every_key_can_be_pasted(parse):
  for key, value in base.flatten(base.get_config()).items():
    found = base.flatten(parse(provenance.flag(key, value)))
    assert found == base.flatten(base.get_config()), key
  for key, value in {
    'data.name': 'celeba',
    'data.dir': "it's here",
    'data.attributes': ('Male', '5_o_Clock_Shadow'),
    'vae.hidden_sizes': (16,),
    'actor_critic.more_distance_weights': (0.1, 1e-5),
    'actor_critic.actor_on_encodings': False,
    'vae.optimizer.learning_rate': 1e-8,
    'compare.curve_steps': (),
  }.items():
    found = parse(provenance.flag(key, value))
    for part in key.split('.'):
      found = found[part]
    assert found == value, key
  found = parse(provenance.flag('vae.optimizer.arguments.nesterov', True))
  assert found.vae.optimizer.arguments == ml_collections.ConfigDict(
    {'nesterov': True}
  )


LABELS = {
  'names': ['Smiling', 'Male'],
  'kind': 'bits',
  'rows': [12, 3],
  'digests': ['a1', 'b2'],
}
IMAGES = {'shape': [20, 8, 8, 1], 'digest': 'c3'}
DATA = {'images': IMAGES, 'labels': LABELS}


def read(**splits):
  return {'seed': 0, 'read': splits}


@pytest.mark.parametrize(
  ('data', 'text'),
  [
    (
      {'labels': LABELS | {'rows': [13, 3], 'digests': ['a9', 'b2']}},
      'on other labels of the train split (config.data): Smiling held in 12 '
      'rows, now in 13 (digest a1 -> a9): put',
    ),
    (
      {'labels': LABELS | {'digests': ['a9', 'b9']}},
      'Smiling held in 12 rows, now in 12 (digest a1 -> a9), and 1 more: put',
    ),
    (
      {'labels': LABELS | {'names': ['Smiling', 'Female']}},
      "other names of the train split (config.data): attribute 2 was 'Male', "
      "now it is 'Female': put",
    ),
    (
      {
        'labels': LABELS
        | {'names': ['Smiling'], 'rows': [12], 'digests': ['a1']}
      },
      "attribute 2 was 'Male', now it is '(absent)': put",
    ),
    (
      {'labels': LABELS | {'kind': 'classes'}},
      'on other kind of labels of the train split (config.data): they were '
      'independent attributes, now classes: put',
    ),
    (
      {'images': IMAGES | {'digest': 'c9'}},
      'on other images of the train split (config.data): digest c3 -> c9: put',
    ),
    (
      {'images': {'shape': [21, 8, 8, 1], 'digest': 'c9'}},
      'there were 20 of 8x8x1, now 21 of 8x8x1: put',
    ),
  ],
)
def test_other_data_are_named(data, text):
  stored, current = read(train=DATA), read(train=DATA | data)
  line = said(stored, current)
  assert line.startswith('w/vae was trained on other ')
  assert text in line
  assert line.endswith(
    'put the earlier data back, take another --workdir, or --overwrite to '
    'train it again'
  )


def test_the_split_is_named():
  changed = DATA | {'images': IMAGES | {'digest': 'c9'}}
  stored = read(train=DATA, validation=DATA)
  current = read(train=DATA, validation=changed)
  assert 'images of the validation split' in said(stored, current)


def test_what_is_not_known_is_not_different():
  current = read(train=DATA)
  assert provenance.refusal('w', {'seed': 0}, current) is None
  assert provenance.is_unread({'seed': 0}, current)
  assert not provenance.is_unread(current, current)
  # A config that differs is refused nevertheless.
  assert 'config.seed=1' in said({'seed': 1}, current)
  # The labels of what never sees any may change.
  unlabelled = read(train={'images': IMAGES})
  assert provenance.refusal('w', unlabelled, unlabelled) is None
