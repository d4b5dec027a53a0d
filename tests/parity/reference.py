"""The reference that crates/train/tests/parity.rs is held against: models of transformers, trained a few steps by PyTorch.

    python tests/parity/reference.py DIRECTORY

Writes for each case `model/`, as `save_pretrained` saves it, and `reference.safetensors`: the windows of ten steps, the
logits and every gradient of the first, the loss before each step and every weight after the last. The recipe (AdamW,
clipping, what decays) stands in crates/train/tests/steps/mod.rs too. Needs torch, transformers and safetensors.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

STEPS, SEQUENCES, VOCABULARY, CONTEXT = 10, 4, 211, 48

SCALED = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def gpt():
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=64, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, attn_implementation="eager"))


def llama(**options):
    sizes = dict(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=8,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=0,
        attn_implementation="eager")
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **options}))


# name: how the model is made, the type it is saved in, the largest shard
CASES = {
    "gpt": (gpt, torch.float32, None),
    "llama": (llama, torch.float32, None),
    "llama-tied-stretched": (
        lambda: llama(tie_word_embeddings=True, rope_parameters=SCALED, rms_norm_eps=1e-5), torch.float32, None),
    "llama-many-heads-of-keys": (lambda: llama(num_key_value_heads=8), torch.float32, None),
    "gpt-half-in-shards": (gpt, torch.float16, "100KB"),
    "llama-brain-in-shards": (llama, torch.bfloat16, "100KB"),
}


def wake(model):
    """Moves every weight far enough from its beginning that every part of the network matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def windows():
    """A walk with noise, so that there is something to learn."""
    steps = torch.arange(STEPS * SEQUENCES * (CONTEXT + 1))
    return ((steps * 7 + torch.randint(3, steps.shape)) % VOCABULARY).view(STEPS, SEQUENCES, CONTEXT + 1)


def observe(model, batches):
    model.train()
    decays = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.95), eps=1e-8, foreach=False)
    found, losses = {}, []
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        logits = model(batch[:, :-1]).logits.view(-1, VOCABULARY)
        loss = torch.nn.functional.cross_entropy(logits, batch[:, 1:].reshape(-1))
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            found["logits"] = logits.detach().clone()
            for name, parameter in model.named_parameters():
                found[f"gradient.{name}"] = parameter.grad.clone()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for name, parameter in model.named_parameters():
        found[f"after.{name}"] = parameter.detach().clone()
    found["losses"] = torch.tensor(losses)
    found["windows"] = batches.to(torch.int32)
    return found


def noise(found, exact):
    """How far PyTorch in f32 is from itself in f64, by the measures of parity.rs."""
    largest = {"logits": 0.0, "losses": 0.0, "gradient": 0.0, "after": 0.0}
    norm = 0.0
    for key, value in exact.items():
        kind = key.split(".")[0]
        if kind not in largest:
            continue
        value, other = value.double(), found[key].double()
        if kind == "after" and key.endswith("attn.c_attn.bias"):
            # A bias of keys, which softmax does not see: rounding alone moves it.
            value, other = (torch.cat([x.chunk(3)[0], x.chunk(3)[2]]) for x in (value, other))
        largest[kind] = max(largest[kind], ((value - other).abs().max() / value.abs().max()).item())
        if kind == "after":
            norm = max(norm, ((value - other).norm() / value.norm()).item())
    return ", ".join(f"{kind} {apart:.1e}" for kind, apart in largest.items()) + f" (by norm {norm:.1e})"


def main():
    root = pathlib.Path(sys.argv[1])
    # The models are tiny, and threads that wait for a busy processor are slow.
    torch.set_num_threads(1)
    for seed, (name, (make, kind, shard)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        model = make()
        wake(model)
        directory = root / name
        saved = {"max_shard_size": shard} if shard else {}
        model.to(kind).save_pretrained(directory / "model", **saved)
        # From here on with the numbers that were saved. (`to` would have rounded the rotary frequencies too.)
        model = type(model).from_pretrained(
            directory / "model", dtype=torch.float32, attn_implementation="eager")
        batches = windows()
        found = observe(model, batches)
        save_file({key: value.contiguous() for key, value in found.items()}, directory / "reference.safetensors")
        exact = type(model).from_pretrained(
            directory / "model", dtype=torch.float64, attn_implementation="eager")
        print(f"{name}: PyTorch in f32 and in f64 differ by at most {noise(found, observe(exact, batches))}")
        print(f"{name}: loss {found['losses'][0]:.4f} to {found['losses'][-1]:.4f}")


if __name__ == "__main__":
    main()
