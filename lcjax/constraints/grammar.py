"""Compositions of constraints as text, such as 'all(realism, 2*not(slanted))'.

    term = [NUMBER '*'] (NAME | 'not(' term ')' | 'all(' terms ')' | 'any('
           terms ')')

Numbers are weights, as of `compose.all_of` and `compose.any_of`.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple

from lcjax import errors
from lcjax.constraints import base, compose

Kind = Literal['name', 'not', 'all', 'any', '']
OPERATORS = 'all', 'any', 'not'
_TOKEN = re.compile(
  r'\s*(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|\s*(?P<word>[A-Za-z_]\w*)'
  r'|\s*(?P<mark>[(),*])'
)


class Node(NamedTuple):
  """A term of a composition.

  Attributes:
    kind: of the term.
    name: of a constraint; empty for other kinds.
    parts: of all, any and not.
    weight: that the text gives, 1 if it gives none.
    place: where the term is in the text, in words, for errors.
  """

  kind: Kind
  name: str
  parts: tuple['Node', ...]
  weight: float
  place: str


class _Token(NamedTuple):
  kind: Literal['number', 'word', 'mark', 'end']
  text: str
  place: str  # in words


def _tokens(text: str, what: str) -> list[_Token]:
  found: list[_Token] = []
  position, end = 0, len(text.rstrip())
  while position < end:
    match = _TOKEN.match(text, position)
    if match is None:
      start = len(text) - len(text[position:].lstrip())
      raise errors.UserError(
        f'{_place(text, start, what)}: {text[start]!r} has no meaning here'
      )
    for kind in ('number', 'word', 'mark'):
      if match[kind] is not None:
        place = _place(text, match.start(kind), what)
        found.append(_Token(kind, match[kind], place))
    position = match.end()
  return [*found, _Token('end', '', f'{what}={text!r}, at its end')]


def _place(text: str, start: int, what: str) -> str:
  return f'{what}={text!r}, character {start + 1}'


class _Parser:
  """Reads tokens from left to right.

  Attributes:
    names: that a text may have.
    seen: those that it has had.
  """

  def __init__(self, tokens: list[_Token], names: Collection[str]) -> None:
    self._tokens = tokens[::-1]
    self._names = list(names)
    self._seen: set[str] = set()

  def whole(self) -> Node:
    """The only term of the text."""
    if self._next.kind == 'end':
      raise errors.UserError(
        f'{self._next.place}: there is nothing; give a term such as '
        "'all(realism, attributes)'"
      )
    found = self._term()
    if self._next.kind != 'end':
      raise errors.UserError(
        f'{self._next.place}: {self._next.text!r} follows a complete term: '
        'join terms as in all(a, b)'
      )
    return found

  @property
  def _next(self) -> _Token:
    return self._tokens[-1]

  def _accept(self, mark: str) -> bool:
    if self._next.kind != 'mark' or self._next.text != mark:
      return False
    self._tokens.pop()
    return True

  def _term(self) -> Node:
    token = self._tokens[-1]
    weight = 1.0
    if token.kind == 'number':
      self._tokens.pop()
      weight = float(token.text)
      if not 0 < weight < float('inf'):
        raise errors.UserError(
          f'{token.place}: the weight {token.text} must be above 0 and finite'
        )
      if not self._accept('*'):
        raise errors.UserError(
          f'{self._next.place}: * must follow the weight {token.text}, as in '
          f'{token.text}*realism'
        )
      token = self._next
    if token.kind != 'word':
      shown = repr(token.text) if token.text else 'the text ends'
      raise errors.UserError(
        f'{token.place}: {shown}, but a name, all(...), any(...) or not(...) '
        'is needed'
      )
    self._tokens.pop()
    if token.text in OPERATORS:
      return self._composed(token, weight)
    return self._name(token, weight)

  def _name(self, token: _Token, weight: float) -> Node:
    name = token.text
    if self._next.text == '(':
      raise errors.UserError(
        f'{token.place}: {name!r} is none of all, any and not, which alone '
        'take terms in parentheses'
      )
    if name not in self._names:
      raise errors.UserError(
        f'{token.place}: {name!r} is not a constraint: '
        f'{errors.nearest(name, self._names)}'
      )
    if name in self._seen:
      raise errors.UserError(
        f'{token.place}: {name!r} stands there twice: use each constraint once'
      )
    self._seen.add(name)
    return Node('name', name, (), weight, token.place)

  def _composed(self, token: _Token, weight: float) -> Node:
    kind: Kind = 'all' if token.text == 'all' else 'any'
    if token.text == 'not':
      kind = 'not'
    if not self._accept('('):
      raise errors.UserError(
        f'{self._next.place}: ( must follow {kind}, as in {kind}(realism)'
      )
    parts: list[Node] = []
    if not self._accept(')'):
      parts.append(self._term())
      while self._accept(','):
        parts.append(self._term())
      if not self._accept(')'):
        raise errors.UserError(
          f'{self._next.place}: , or ) must follow, to go on with {kind}( or '
          f'to close it ({token.place.rpartition(", ")[2]})'
        )
    if not parts or (kind == 'not' and len(parts) != 1):
      needed = 'exactly one term' if kind == 'not' else 'at least one term'
      raise errors.UserError(
        f'{token.place}: {kind} takes {needed}, there are {len(parts)}'
      )
    return Node(kind, '', tuple(parts), weight, token.place)


def parse(
  text: str,
  names: Collection[str],
  what: str = 'text',
  always: Collection[str] = (),
) -> Node:
  """Parses a composition.

  Args:
    text: of the composition.
    names: of constraints that it may have.
    what: the text is, in errors.
    always: names of constraints that every latent meets, such as a distance:
      they have no opposite, and nothing is gained by any of them and others.

  Raises:
    UserError: the text is none; says where in it, and what is needed there.
  """
  found = _Parser(_tokens(text, what), names).whole()
  for node, negated, in_any in _leaves(found, False, False):
    if node.name in always and (negated or in_any):
      raise errors.UserError(
        f'{node.place}: {node.name!r} is met by every latent, so it has no '
        'opposite and no place in any(...): leave it in all(...)'
      )
  return found


def _leaves(
  node: Node, negated: bool, in_any: bool
) -> Iterator[tuple[Node, bool, bool]]:
  """Names of a term: whether each is negated, and part of an alternative."""
  if node.kind == 'name':
    yield node, negated, in_any
  negated ^= node.kind == 'not'
  in_any |= node.kind == ('all' if negated else 'any')
  for part in node.parts:
    yield from _leaves(part, negated, in_any)


def negated_names(node: Node) -> tuple[str, ...]:
  """Names of constraints whose opposite is asked."""
  found = _leaves(node, False, False)
  return tuple(leaf.name for leaf, negated, _ in found if negated)


def names(node: Node) -> tuple[str, ...]:
  """Names of all constraints of a composition."""
  return tuple(leaf.name for leaf, *_ in _leaves(node, False, False))


def with_name(name: str, node: Node) -> Node:
  """all(name, node)."""
  leaf = Node('name', name, (), 1.0, node.place)
  return Node('all', '', (leaf, node), 1.0, node.place)


def build(
  node: Node,
  parts: Mapping[str, base.Constraint],
  own: Mapping[str, float] | None = None,
  assumed: Collection[str] = (),
) -> compose.AllOf | None:
  """Composes constraints as a parsed text says.

  NOT is moved to the names, by De Morgan's laws.

  Args:
    node: by `parse`.
    parts: constraints by name.
    own: weights of constraints, which those of the text multiply; 1 where there
      is none. Within any(...) only the weights of the text count; the whole of
      it has the largest of its parts' own weights.
    assumed: names that hold anyway: they are left out, and any(...) with them.

  Returns:
    The constraint; None if nothing is left.

  Raises:
    UserError: a constraint has no sound opposite; two have the same name.
  """
  own = own or {}

  def made(
    node: Node, negated: bool, in_any: bool
  ) -> tuple[base.Constraint, float] | None:
    if node.kind == 'name':
      if node.name in assumed and not negated:
        return None
      weight = 1.0 if in_any else own.get(node.name, 1.0)
      part = parts[node.name]
      if negated:
        try:
          part = part.negated()
        except errors.UserError as error:
          raise errors.UserError(f'{node.place}: {error}') from error
      return part, node.weight * weight
    if node.kind == 'not':
      inner = made(node.parts[0], not negated, in_any)
      return inner and (inner[0], node.weight * inner[1])
    is_any = node.kind == ('all' if negated else 'any')
    found = [made(part, negated, in_any or is_any) for part in node.parts]
    kept = [one for one in found if one is not None]
    if not kept or (is_any and len(kept) < len(found)):
      return None
    if len(kept) == 1:
      return kept[0][0], node.weight * kept[0][1]
    terms, weights = zip(*kept, strict=True)
    if not is_any:
      return compose.all_of(*terms, weights=weights), node.weight
    whole = 1.0
    if not in_any:
      leaves = _leaves(node, False, False)
      whole = max(own.get(leaf.name, 1.0) for leaf, *_ in leaves)
    return compose.any_of(*terms, weights=weights), node.weight * whole

  found = made(node, False, False)
  if found is None:
    return None
  constraint, weight = found
  if isinstance(constraint, compose.AllOf) and weight == 1.0:
    return constraint
  return compose.all_of(constraint, weights=(weight,))


def parse_constraint(
  text: str, constraints: Mapping[str, base.Constraint]
) -> compose.AllOf:
  """Composes constraints by a text, such as 'all(realism, 2*not(slanted))'.

  `all`, `any` and `not` are `lcjax.all_of`, `lcjax.any_of` and `lcjax.negate`;
  a number before * is a weight, and may stand before any term.

  Args:
    text: of names, all(...), any(...) and not(...), each name once.
    constraints: by name in the text.

  Raises:
    UserError: the text is not like that, in one line that says where; a
      constraint has no sound opposite; two constraints have the same name.
  """
  for name in constraints:
    check_name(name, 'constraints')
  always = [
    name
    for name, one in constraints.items()
    if one.names() and set(one.names()) <= set(one.references())
  ]
  node = parse(text, tuple(constraints), 'text', always)
  found = build(node, constraints)
  assert found is not None  # nothing is assumed
  return found


def check_name(name: str, what: str) -> None:
  """Raises UserError unless a text can have a constraint of this name."""
  if not name.isidentifier() or not name.isascii() or name in OPERATORS:
    raise errors.UserError(
      f'{what}: {name!r} cannot be the name of a constraint: give letters, '
      f'digits and _, and none of {", ".join(OPERATORS)}'
    )
