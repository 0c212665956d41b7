#!/usr/bin/env python3
"""PyTorch's training of the classifier: the golden files of worker/recommend/src/networks/classifier_fixture.rs.

    pip install torch numpy safetensors
    tools/classifier_fixture.py worker/recommend/tests/fixtures

The model is the paper's uni-modal classifier with `nn.MultiheadAttention` as PyTorch ships it: embeddings of 32 numbers, one
key, 4 heads. For RMSprop and Adam a file holds the inputs, the weights before the first step and after the last, the logits
and the gradients of the first step, and the loss of each step. Only the value and output projections are stored: with one key
the softmax is 1, so queries and keys get no gradient beyond rounding (checked here).
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

DIM, BATCH, STEPS, RATE, SEED = 32, 32, 8, 1e-3, 20
OPTIMIZERS = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}


class CrossBlock(nn.Module):
    """LayerNorm(query + MultiheadAttention(query, key, key))."""

    def __init__(self, dim):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, 4, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, query, key):
        attended, _ = self.attention(query, key, key, need_weights=False)
        return self.norm(query + attended)


class Classifier(nn.Module):
    """Movie and user embeddings, `rows x 1 x dim` each, to logits, `rows x 3`."""

    def __init__(self, dim):
        super().__init__()
        self.movie_user = CrossBlock(dim)
        self.user_movie = CrossBlock(dim)
        self.fusion = CrossBlock(2 * dim)
        self.ff1 = nn.Linear(2 * dim, dim)
        self.ff2 = nn.Linear(dim, 2 * dim)
        self.norm = nn.LayerNorm(2 * dim)
        self.dense1 = nn.Linear(2 * dim, dim)
        self.dense2 = nn.Linear(dim, 3)

    def forward(self, movie, user):
        both = torch.cat([self.movie_user(movie, user), self.user_movie(user, movie)], dim=-1)
        fused = self.fusion(both, both)
        hidden = self.norm(fused + self.ff2(torch.relu(self.ff1(fused))))
        return self.dense2(torch.relu(self.dense1(hidden))).squeeze(1)


def stored(tensors):
    """Tensors by the names that Jhalak's classifier gives its parameters."""
    named = {}
    for name, tensor in tensors:
        tensor = tensor.detach().clone()
        if ".attention.in_proj_" in name:
            queries, keys, values = tensor.chunk(3)
            if name.startswith("grad.") and max(queries.abs().max(), keys.abs().max()) > 1e-7:
                sys.exit(f"{name}: queries and keys have a gradient, though there is one key")
            named[name.replace(".attention.in_proj_", ".value.")] = values.contiguous()
        else:
            named[name.replace(".attention.out_proj.", ".out.")] = tensor
    return named


def fixture(optimizer_name):
    torch.manual_seed(SEED)
    model = Classifier(DIM)
    optimizer = OPTIMIZERS[optimizer_name](model.parameters(), lr=RATE)
    movies, users = torch.randn(STEPS, BATCH, DIM), torch.randn(STEPS, BATCH, DIM)
    labels = torch.randint(0, 3, (STEPS, BATCH))
    out = {"movie": movies, "user": users, "label": labels.to(torch.uint8)}
    out |= stored((f"before.{name}", p) for name, p in model.named_parameters())
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(movies[step].unsqueeze(1), users[step].unsqueeze(1))
        loss = nn.functional.cross_entropy(logits, labels[step])
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach().clone()
            out |= stored((f"grad.{name}", p.grad) for name, p in model.named_parameters())
        optimizer.step()
        losses.append(loss.item())
    out["loss"] = torch.tensor(losses)
    out |= stored((f"after.{name}", p) for name, p in model.named_parameters())
    return out


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: tools/classifier_fixture.py FOLDER")
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for name in OPTIMIZERS:
        path = folder / f"classifier_{name}.safetensors"
        # One entry: safetensors writes several in no fixed order.
        made_by = f"torch {torch.__version__}, rate {RATE}, seed {SEED}"
        save_file(fixture(name), path, metadata={"made_by": made_by})
        print(path)


if __name__ == "__main__":
    main()
