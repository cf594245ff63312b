"""Actor, critics and optimizer-G in PyTorch, with our parameters."""

from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
import numpy as np

from launch.benchmarks import torch_peer
from lcjax import types
from lcjax.training import latent_steps


def critic(params: Any, activation: str) -> tuple[Callable[..., Any], Any]:
  """D(z, y), D_realism(z) or D_attr(z).

  Args:
    params: of a `models.critic.Critic` or `AttributeCritic`.
    activation: name of the activation.

  Returns:
    (z [B, Z], y [B, Y] or None) -> logits [B, outputs], and the module.
  """
  import torch

  tree = params['params']
  # With labels there are two dense layers besides the body; the last is the
  # head.
  dense = sorted(name for name in tree if name.startswith('Dense_'))
  body = torch.nn.Sequential(
    *torch_peer.mlp(tree['Mlp_0'], activation),
    torch_peer.linear(tree[dense[-1]]),
  )
  if len(dense) == 1:
    return lambda z, y=None: body(z), body
  labels = torch_peer.linear(tree[dense[0]])
  both = torch.nn.ModuleList([labels, body])
  return lambda z, y: body(torch.cat([z, labels(y)], dim=-1)), both


def actor(params: Any, activation: str) -> tuple[Callable[..., Any], Any]:
  """G(z, y) of a `models.actor.Actor`: (z, y) -> moved z, and the module."""
  body_fn, module = critic(params, activation)  # the same layers

  def move(z: Any, y: Any) -> Any:
    target, gate_logits = body_fn(z, y).chunk(2, dim=-1)
    opening = gate_logits.sigmoid()
    return (1.0 - opening) * z + opening * target

  return move, module


def critic_loss(
  critic_fn: Callable[..., Any],
  rows: Mapping[str, Any],
  weights: latent_steps.CriticWeights,
) -> Any:
  """The same loss as `latent_steps.critic_loss`."""
  import torch

  softplus = torch.nn.functional.softplus
  y, other = rows['attributes'], rows['other_attributes']
  loss = softplus(-critic_fn(rows['real'], y)).mean()
  loss = loss + weights.moved * softplus(critic_fn(rows['moved'], y)).mean()
  if weights.prior:
    loss = loss + weights.prior * softplus(critic_fn(rows['prior'], y)).mean()
  if weights.mismatched:
    mismatched = (y != other).any(-1)
    losses = softplus(critic_fn(rows['real'], other))[:, 0]
    loss = loss + weights.mismatched * (mismatched * losses).mean()
  if weights.gradient_penalty:
    mix = rows['mix'][:, None]
    between = mix * rows['real'] + (1.0 - mix) * rows['moved']
    between.requires_grad_(True)
    (grads,) = torch.autograd.grad(
      critic_fn(between, y).sum(), between, create_graph=True
    )
    norms = (grads.square().sum(-1) + 1e-12).sqrt()
    penalty = (norms - 1.0).square().mean()
    loss = loss + weights.gradient_penalty * penalty
  return loss


def distance_penalty(z: Any, start: Any, variance: Any) -> Any:
  """`distance.distance_penalty` per row, given the squared mean scale [Z]."""
  return ((z - start).square().log1p() / variance).mean(-1)


def actor_critic_step(
  actor_params: Any,
  critic_params: Any,
  section: ml_collections.ConfigDict,
  mean_scale: np.ndarray,
  weights: latent_steps.CriticWeights,
  fused: bool = False,
  compiled: bool = False,
) -> Callable[[Mapping[str, np.ndarray]], Any]:
  """Builds one step of critic and actor: a batch -> losses of both.

  Like `latent_steps.make_actor_critic_step` with one actor step per critic
  step. In the actor's update, the critic's parameters take no gradient.

  Args:
    actor_params: initial parameters of the actor.
    critic_params: initial parameters of the critic.
    section: `config.actor_critic`.
    mean_scale: [Z] training mean of the encoder's scale.
    weights: of the kinds of rows.
    fused: whether to use the fused Adam kernel.
    compiled: whether to use `torch.compile` for the losses.
  """
  import torch

  actor_fn, actor_module = actor(actor_params, section.activation)
  critic_fn, critic_module = critic(critic_params, section.activation)
  actor_adam, critic_adam = (
    torch_peer.adam(module.parameters(), optimizer, fused)
    for module, optimizer in (
      (actor_module, section.actor_optimizer),
      (critic_module, section.critic_optimizer),
    )
  )
  variance = torch.from_numpy(np.square(mean_scale))
  learned = list(actor_module.parameters())
  averages = [torch.zeros_like(parameter) for parameter in learned]
  softplus = torch.nn.functional.softplus

  def critic_objective(rows: dict[str, Any]) -> Any:
    return critic_loss(critic_fn, rows, weights)

  def move_loss(start: Any, y: Any) -> Any:
    z = actor_fn(start, y)
    distance = distance_penalty(z, start, variance)
    cost = softplus(-critic_fn(z, y))[:, 0] + section.distance_weight * distance
    return cost.mean()

  def actor_objective(rows: dict[str, Any]) -> Any:
    loss = move_loss(rows['prior'], rows['attributes'])
    if section.distance_weight and section.actor_on_encodings:
      loss = (loss + move_loss(rows['real'], rows['attributes'])) / 2.0
    return loss

  move_fn = actor_fn
  if compiled:
    actor_objective = torch.compile(actor_objective)
    move_fn = torch.compile(actor_fn)
    # torch.compile does not support double backward.
    if not weights.gradient_penalty:
      critic_objective = torch.compile(critic_objective)

  def update_actor(rows: dict[str, Any]) -> Any:
    actor_adam.zero_grad(set_to_none=True)
    loss = actor_objective(rows)
    loss.backward()
    actor_adam.step()
    if section.average_decay:
      with torch.no_grad():
        torch._foreach_lerp_(averages, learned, 1.0 - section.average_decay)
    return loss.detach()

  def step(batch: Mapping[str, np.ndarray]) -> Any:
    rows = {
      name: torch.from_numpy(batch[name])
      for name in ('mean', 'scale', 'attributes', 'other_attributes')
    }
    y, mean = rows['attributes'], rows['mean']
    rows['real'] = mean + rows['scale'] * torch.randn_like(mean)
    rows['prior'] = torch.randn_like(mean)
    rows['mix'] = torch.rand(len(mean))
    with torch.no_grad():
      rows['moved'] = move_fn(rows['prior'], y)
    critic_adam.zero_grad(set_to_none=True)
    loss = critic_objective(rows)
    loss.backward()
    critic_adam.step()
    critic_module.requires_grad_(False)
    actor_loss = update_actor(rows)
    critic_module.requires_grad_(True)
    return loss.detach(), actor_loss

  return step


def optimizer_g(
  attribute_params: Any,
  realism_params: Any,
  activation: str,
  section: ml_collections.ConfigDict,
  mean_scale: np.ndarray,
  labels: types.Labels,
) -> Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
  """Builds optimizer-G as a loop over Adam on all rows of z at once.

  A converged row no longer changes, but is computed until all have converged.

  Args:
    attribute_params: of D_attr.
    realism_params: of D_realism.
    activation: of both.
    section: `config.optimize`.
    mean_scale: [Z] training mean of the encoder's scale.
    labels: of the attributes.

  Returns:
    (start [B, Z], y [B, Y], max_steps) -> moved [B, Z] and satisfied [B].
  """
  import torch

  attribute_fn, attribute = critic(attribute_params, activation)
  realism_fn, realism = critic(realism_params, activation)
  attribute.requires_grad_(False)
  realism.requires_grad_(False)
  functional = torch.nn.functional
  variance = torch.from_numpy(np.square(np.asarray(mean_scale)))

  def evaluate(z: Any, start: Any, y: Any) -> tuple[Any, Any]:
    logits = attribute_fn(z)
    realism_logits = realism_fn(z)[:, 0]
    if isinstance(labels, types.Classes):
      probabilities = logits.softmax(-1)
      attribute_loss = -(y * logits.log_softmax(-1)).sum(-1)
    else:
      probabilities = logits.sigmoid()
      attribute_loss = (functional.softplus(logits) - y * logits).mean(-1)
    cost = (
      section.realism_weight * functional.softplus(-realism_logits)
      + section.attribute_weight * attribute_loss
    )
    if section.distance_weight:
      penalty = distance_penalty(z, start, variance)
      cost = cost + section.distance_weight * penalty
    with torch.no_grad():
      near = (y - probabilities).abs() < section.attribute_tolerance
      satisfied = near.all(-1) & (
        realism_logits.sigmoid() >= section.realism_threshold
      )
    return cost, satisfied

  def move(
    start: np.ndarray, y: np.ndarray, max_steps: int
  ) -> tuple[np.ndarray, np.ndarray]:
    first, target = torch.from_numpy(start), torch.from_numpy(y)
    z = first.clone().requires_grad_(True)
    optimizer = torch_peer.adam([z], section.optimizer, fused=True)
    cost, satisfied = evaluate(z, first, target)
    for _ in range(max_steps):
      if satisfied.all():
        break
      optimizer.zero_grad(set_to_none=True)
      cost.sum().backward()
      kept = z.detach().clone()
      optimizer.step()
      with torch.no_grad():
        z.copy_(torch.where(satisfied[:, None], kept, z))
      cost, satisfied = evaluate(z, first, target)
    return z.detach().numpy(), satisfied.numpy()

  return move
