"""Tokenizer, chat layout and positions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft3d.models.policy import Policy
from rft3d.models.tokens import byte_tokenizer, number_values, train_tokenizer
from rft3d.prompts import Prompt

TEXT = 'Say it. ```json\n[\n\t{"label": "chair", "bbox_3d": [1.2, 3.4, -5.1]}\n]```'


def test_phrases_and_numbers_become_single_tokens() -> None:
    tokenizer = train_tokenizer([TEXT] * 30, ["chair", "table"])
    ids = tokenizer.encode(TEXT, add_special_tokens=False)
    pieces = [tokenizer.decode([i]) for i in ids]
    assert "".join(pieces) == TEXT
    assert ", 3.4" in pieces and len(ids) < 15
    assert 'chair", "bbox_3d": [' in pieces  # a quoted word takes the skeleton along, its digit included
    assert len(tokenizer.encode("The chair", add_special_tokens=False)) == 4  # T h e, and one for " chair"
    assert len(byte_tokenizer().encode(TEXT, add_special_tokens=False)) == len(TEXT)


def test_number_tokens_have_values() -> None:
    tokenizer = train_tokenizer([TEXT] * 30, ["chair"])
    values = {str(tokenizer.decode([i])): v for i, v in number_values(tokenizer).items()}
    assert values[", -5.1"] == -5.1 and values["1.2"] == 1.2 and values["7"] == 7.0
    assert not any("bbox" in token or "chair" in token for token in values)


def test_close_numbers_start_close(policy: Policy) -> None:
    weight = policy.model.get_input_embeddings().weight.detach()
    (a,), (b,), (c,) = (policy.tokenizer.encode(t, add_special_tokens=False) for t in "459")
    cosine = torch.cosine_similarity
    assert cosine(weight[a], weight[b], 0) > cosine(weight[a], weight[c], 0) + 0.1


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_every_text_decodes_to_itself(text: str) -> None:
    tokenizer = train_tokenizer([TEXT] * 30, ["chair"])
    if "<|" not in text:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("frames", [1, 3])
def test_positions_equal_transformers(policy: Policy, clips, frames: int) -> None:
    features = policy.encode([clips[0][:frames]])[0]
    row = policy.row(Prompt("Frame <image>" * frames + "What?", frames), features.grid)
    ids = torch.tensor([row.prefix])
    image = policy.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    expected, _ = policy.model.model.get_rope_index(ids, (ids == image).int(), features.grid)
    assert torch.equal(row.positions, expected[:, 0])


def test_a_saved_policy_says_the_same(policy: Policy, clips, tmp_path) -> None:
    from rft3d.models import load_policy

    policy.save(tmp_path / "m")
    prompts = [Prompt("<image>" * 4 + "Detect the boxes.", 4), Prompt("<image>" * 3 + "Where?", 3)]
    first = policy.sample_texts(prompts, clips, max_new_tokens=9)
    assert load_policy(tmp_path / "m").sample_texts(prompts, clips, max_new_tokens=9) == first
    with pytest.raises(FileNotFoundError, match="holds no rft3d_policy"):
        load_policy(tmp_path)


def test_frames_are_encoded_once(policy: Policy, clips) -> None:
    calls = []
    policy.model.model.visual.register_forward_pre_hook(lambda *_: calls.append(1))
    prompts = [Prompt("<image>" * 4 + "One?", 4), Prompt("<image>" * 4 + "Two?", 4)]
    policy.sample_texts(prompts, [clips[0], clips[0]], max_new_tokens=3)
    policy.sample_texts(prompts[:1], [clips[0]], max_new_tokens=3)
    assert len(calls) == 1
