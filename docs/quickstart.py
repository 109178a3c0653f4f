"""Your own network against two attacks through two libraries: ``python docs/quickstart.py``."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import bench

images, labels = torch.tensor(load_digits().images[:, None] / 16).float(), torch.tensor(load_digits().target)
network = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images[:1500]), labels[:1500]).backward()
    optimizer.step()

x, y = images[1500:1650], labels[1500:1650]
result = bench.evaluate(network, x, y, attacks=["fgsm", "pgd"], eps=["8/255", "16/255", "32/255"])
print(result)
