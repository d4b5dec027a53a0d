"""The other way round: what we export, loaded by transformers, gives our logits and goes on as its own model does.

    python tests/parity/check.py DIRECTORY

Reads what crates/train/tests/parity.rs left beside the reference: `exported/` and `logits.f32` of each case.
"""

import pathlib
import sys

import numpy
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM


def main():
    cases = sorted(path.parent for path in pathlib.Path(sys.argv[1]).glob("*/reference.safetensors"))
    assert cases, "nothing to check"
    for case in cases:
        model, report = AutoModelForCausalLM.from_pretrained(
            case / "exported", dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        assert not any(report.values()), f"{case.name}: {report}"
        theirs = AutoModelForCausalLM.from_pretrained(
            case / "model", dtype=torch.float32, attn_implementation="eager")
        ours, original = dict(model.named_parameters()), dict(theirs.named_parameters())
        assert ours.keys() == original.keys()
        for name, parameter in original.items():
            assert torch.equal(ours[name], parameter), f"{case.name}: `{name}` changed on its way in and out"
        with safe_open(case / "reference.safetensors", "pt") as reference:
            windows = reference.get_tensor("windows")[0].long()
        model.eval()
        with torch.no_grad():
            logits = model(windows[:, :-1]).logits.flatten(0, 1).numpy()
            prompt = windows[:1, :8]
            # Greedy, by hand: generation has defaults of its own.
            texts = []
            for one in (model, theirs.eval()):
                text = prompt
                for _ in range(16):
                    text = torch.cat([text, one(text).logits[:, -1:].argmax(-1)], 1)
                texts.append(text)
        found = numpy.fromfile(case / "logits.f32", dtype="<f4").reshape(logits.shape)
        apart = numpy.abs(found - logits).max() / numpy.abs(logits).max()
        assert apart <= 1e-4, f"{case.name}: logits differ by {apart}"
        assert torch.equal(*texts), f"{case.name}: the two go on differently"
        print(f"{case.name}: loads as {type(model).__name__}, logits differ by at most {apart:.1e}")


if __name__ == "__main__":
    main()
