"""A suite that trains and attacks in seconds: the whole way through, on little data."""

TINY = """
name: tiny
backbone:
  architecture: resnet18
  pretrain:
    data: {source: digits, classes: [0, 1], size: 16}
    training: {epochs: 1, lr: 0.02, schedule: constant, augmentation: none}
data: {source: digits, classes: [6, 7], size: 16, samples: 12}
training: {epochs: 1, lr: 0.01, schedule: constant, augmentation: none}
models:
  - {name: baseline, adaptation: {method: full}}
  - name: lora-fc
    adaptation: {method: lora, r: 4, alpha: 8, targets: [fc]}
    training: {optimizer: adamw}
eps: [2/255, 16/255]
headline_eps: 16/255
attacks:
  - attack: fgsm
  - {attack: pgd, steps: 3, rel_step_size: 0.5}
"""
CELLS = 2 * 2 * 2 * 2
"""Models x attacks x libraries x eps of the tiny suite."""
