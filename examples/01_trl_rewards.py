"""Our rewards in TRL's trainer: exact 3D IoU and F1 as ``reward_funcs``.

Run: python examples/01_trl_rewards.py            # the rewards of a few answers
     python examples/01_trl_rewards.py --train    # one step of TRL's GRPOTrainer on a toy model (needs trl)
"""

from __future__ import annotations

import sys
import tempfile

from rft3d.tasks import as_trl

TRUTH = {"boxes": [{"label": "chair", "bbox_3d": [0.5, 0.3, 2.0, 0.6, 0.9, 0.6, 0.0, 0.0, 0.2]}]}
ANSWERS = {
    "right": '[{"label": "chair", "bbox_3d": [0.5, 0.3, 2.0, 0.6, 0.9, 0.6, 0, 0, 0.2]}]',
    "half a metre off": '[{"label": "chair", "bbox_3d": [1.0, 0.3, 2.0, 0.6, 0.9, 0.6, 0, 0, 0.2]}]',
    "prose": "There is a chair.",
}
REWARDS = {part: as_trl("detection", part) for part in ("format", "f1@0.25", "mean_iou")}


def train() -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    from datasets import Dataset
    from rft3d.models import byte_tokenizer

    tokenizer = byte_tokenizer(["chair"])
    tokenizer.pad_token, tokenizer.eos_token = "<|endoftext|>", "<|im_end|>"
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    rows = Dataset.from_list([{"prompt": "Where is the chair? ", "truth": TRUTH}] * 4)
    with tempfile.TemporaryDirectory() as folder:
        settings = GRPOConfig(
            folder, max_steps=1, per_device_train_batch_size=2, num_generations=2, max_completion_length=8,
            report_to="none", use_cpu=True, save_strategy="no",
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=Qwen2ForCausalLM(config), reward_funcs=list(REWARDS.values()), args=settings,
            train_dataset=rows, processing_class=tokenizer,
        )  # fmt: skip
        print(trainer.train())


if __name__ == "__main__":
    for name, text in ANSWERS.items():
        print(f"{name:18}", {part: f([text], truth=[TRUTH])[0] for part, f in REWARDS.items()})
    if "--train" in sys.argv:
        train()
