"""Repairs of the snippet that leave a fault, and another right one."""


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
]
