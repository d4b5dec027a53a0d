"""Training steps of PyTorch (eager, fused AdamW, scaled_dot_product_attention) on the shapes of the Rust bench.

    python benches/compare/train_step.py --threads 1
    cargo bench -p orchestrator-train --bench step

Prints one line per shape: milliseconds per step (median) and tokens per second. Needs only `torch`.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

# name: layers, heads, width, context, vocabulary, sequences (as in crates/train/benches/step.rs)
SHAPES = {"2m": (4, 4, 128, 128, 8192, 16), "14m": (6, 6, 384, 256, 8192, 8)}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.attn_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.mlp_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, time_, width = x.shape
        qkv = self.c_attn(self.ln_1(x)).view(batch, time_, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attn_proj(attended.transpose(1, 2).reshape(batch, time_, width))
        return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.ln_f(x) @ self.wte.weight.t()
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def measure(shape, steps, warmup):
    layers, heads, width, context, vocabulary, sequences = shape
    torch.manual_seed(1)
    model = Gpt(layers, heads, width, context, vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    windows = torch.randint(vocabulary, (sequences, context + 1))
    durations = []
    for _ in range(warmup + steps):
        started = time.perf_counter()
        loss = model(windows[:, :-1], windows[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        durations.append(time.perf_counter() - started)
    return statistics.median(durations[warmup:]), sequences * context


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, shape in SHAPES.items():
        seconds, tokens = measure(shape, arguments.steps, arguments.warmup)
        print(f"torch {torch.__version__} {name} threads={arguments.threads}: "
              f"{seconds * 1e3:.1f} ms/step, {tokens / seconds:.0f} tokens/s")


if __name__ == "__main__":
    main()
