"""Repairs of the snippet that leave a fault, and another right one."""

import torch
import torch.nn.functional as F


def _mean(hidden, weights):
    return (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


def another(model, input_ids, attention_mask):
    # the model itself adds the places to inputs_embeds
    words = model.embeddings.word_embeddings(input_ids)
    hidden = model(inputs_embeds=words, attention_mask=attention_mask).last_hidden_state
    return (
        hidden.transpose(1, 2)
        @ (attention_mask / attention_mask.sum(1, keepdim=True)).to(hidden)[..., None]
    )[..., 0]


def as_printed(model, input_ids, attention_mask):
    words = model.embeddings.word_embeddings(input_ids)
    hidden = model.encoder(words).logits
    return hidden.mean(dim=1)


def no_places_and_padding(model, input_ids, attention_mask):
    return model.encoder(
        model.embeddings.word_embeddings(input_ids)
    ).last_hidden_state.mean(dim=1)


def no_places(model, input_ids, attention_mask):
    return _mean(
        model.encoder(model.embeddings.word_embeddings(input_ids)).last_hidden_state,
        attention_mask,
    )


def places_twice(model, input_ids, attention_mask):
    hidden = model(
        inputs_embeds=model.embeddings(input_ids), attention_mask=attention_mask
    ).last_hidden_state
    return _mean(hidden, attention_mask)


def padding_everywhere(model, input_ids, attention_mask):
    return model(input_ids).last_hidden_state.mean(dim=1)


def padding_in_the_mean(model, input_ids, attention_mask):
    return model(input_ids, attention_mask=attention_mask).last_hidden_state.mean(dim=1)


def padding_in_attention(model, input_ids, attention_mask):
    return _mean(
        model.encoder(model.embeddings(input_ids)).last_hidden_state, attention_mask
    )


def divided_by_all(model, input_ids, attention_mask):
    hidden = model(input_ids, attention_mask=attention_mask).last_hidden_state
    return (hidden * attention_mask[..., None]).mean(dim=1)


def only_a_sum(model, input_ids, attention_mask):
    hidden = model(input_ids, attention_mask=attention_mask).last_hidden_state
    return (hidden * attention_mask[..., None]).sum(dim=1)


def first_token(model, input_ids, attention_mask):
    return model(input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]


def pooled(model, input_ids, attention_mask):
    return model(input_ids, attention_mask=attention_mask).pooler_output


def all_tokens(model, input_ids, attention_mask):
    return model(input_ids, attention_mask=attention_mask).last_hidden_state


def mask_as_segments(model, input_ids, attention_mask):
    return _mean(
        model(input_ids, attention_mask, attention_mask).last_hidden_state,
        attention_mask,
    )


def from_the_ids(model, input_ids, attention_mask):
    mask = (input_ids != 0).long()
    return _mean(model(input_ids, attention_mask=mask).last_hidden_state, mask)


def without_frame(model, input_ids, attention_mask):
    hidden = model(input_ids, attention_mask=attention_mask).last_hidden_state
    inside = attention_mask * ~((input_ids == 2) | (input_ids == 3))
    return _mean(hidden, inside)


def unit_length(model, input_ids, attention_mask):
    hidden = model(input_ids, attention_mask=attention_mask).last_hidden_state
    return F.normalize(_mean(hidden, attention_mask), dim=-1)


def layer_before(model, input_ids, attention_mask):
    found = model(input_ids, attention_mask=attention_mask, output_hidden_states=True)
    return _mean(found.hidden_states[-2], attention_mask)


def padding_on_the_right(model, input_ids, attention_mask):
    hidden = model(input_ids, attention_mask=attention_mask).last_hidden_state
    lengths = attention_mask.sum(1).tolist()
    return torch.stack([h[:n].mean(0) for h, n in zip(hidden, lengths)])


def text_by_text(model, input_ids, attention_mask):
    """Without padding altogether, each real token at the place where it stands."""
    found = []
    for ids, mask in zip(input_ids, attention_mask.bool()):
        places = torch.arange(len(ids))[mask]
        hidden = model(ids[mask][None], position_ids=places[None]).last_hidden_state
        found.append(hidden[0].mean(dim=0))
    return torch.stack(found)


@torch.no_grad()
def from_the_layers(model, input_ids, attention_mask):
    """Embeddings and encoder by hand, without gradients, the mask as numbers."""
    hidden = model.embeddings(input_ids)
    less = torch.where(attention_mask.bool(), 0.0, -1e30).to(hidden)[:, None, None]
    hidden = model.encoder(hidden, attention_mask=less).last_hidden_state
    total = torch.einsum("btd,bt->bd", hidden, attention_mask.to(hidden))
    return total / attention_mask.sum(1).clamp(min=1)[:, None]


WRONG = [
    (as_printed, "logits"),
    (no_places_and_padding, "padding still counts too"),
    (no_places, "position embeddings are missing"),
    (places_twice, "twice"),
    (padding_everywhere, "padding counts twice"),
    (padding_in_the_mean, "mean still counts"),
    (padding_in_attention, "tokens attend to padding"),
    (divided_by_all, "divided by T"),
    (only_a_sum, "divide it by their number"),
    (first_token, "[CLS]"),
    (pooled, "pooler_output"),
    (all_tokens, "(B, T, D)"),
    (mask_as_segments, "differ from the expected ones"),
    (from_the_ids, "go by attention_mask"),
    (without_frame, "[CLS] and [SEP] out"),
    (unit_length, "divided by their length"),
    (layer_before, "hidden_states[1]"),
    (padding_on_the_right, "padding may stand on the left"),
]

RIGHT = [text_by_text, from_the_layers]

EQUIVALENT = {
    "the result is detached": (
        "the vectors are read, and the task names no loss to train them with"
    ),
}
