"""Small files for pretraining and fine-tuning: copy one into your own project, or
import it from here.

Importing `ftlib` imports nothing else. Outside `course/` each file stands alone: it
imports no other file of ftlib, and says in its docstring what it is, how to use it,
what it is not, and what it needs.

data/
    tokenization   train and load WordPiece and BPE; pack text into rows, pad batches to
                   their longest row
    streaming      more text than memory: files or a datasets stream as packed rows,
                   resumed by position
    corpus         cleaning, near-duplicates by MinHash, test texts inside a training
                   corpus
    tables         your own CSV with located errors, balanced subsets, a split by a hash
                   of the text
    images         images as a published model reads them, augmentation by row, printed
                   letters
    audio          wav files, resampling, Whisper's log-mel features, word error rate,
                   CTC written out
    voices         text spoken by a hundred synthetic voices; a split by families
models/
    transformer    one transformer, bidirectional or causal: the model alone
    hf_format      folders of transformers (BERT, RoBERTa-PreLayerNorm, GPT-2) to our
                   names and back
    seq2seq        an encoder-decoder with cross-attention, greedy and beam search
    pegasus_format  folders of transformers (Pegasus) for that encoder-decoder
    attention      scaled dot products, masks and heads written out; the attention maps
                   of a loaded model
    whisper_format  Whisper in the format of CTranslate2 as transformers' Whisper
    speech         spoken words: a small network, templates by DTW, SpecAugment;
                   Whisper's encoder on short sounds
    positions      sinusoids to add, rotations of queries and keys, positions of padded
                   rows, longer tables
    blocks         encoder and decoder block, residual and norm, feed-forward, to read
                   and take apart
    autograd       backpropagation to read: scalars, tensors, finite differences
    cnn            EfficientNet-Lite0 and a small network to read; freezing, learning
                   rates by depth
    lora           low-rank adapters of linear layers: add, merge, count, combine, save
                   and load in peft's format
objectives/
    mlm            masked language modelling: masks, losses, sentence pairs, filling
                   masks; a demo
    clm            causal language modelling: shifted loss, sampling, the key-value
                   cache, perplexity
    classify       heads on any encoder, freezing, batches grouped by length,
                   predictions
    tagging        BIO tags and subwords, entities and their F1, a head for every token
    extractive_qa  windows over long texts, the best span or no answer, exact match, F1
    instruct       chats as text, labels on the answers alone, packed chats; only
                   tokens that keep a call valid
    distill        a small model learns from a large one's probabilities, hidden states
                   and attention maps
    preference     reward models, DPO, REINFORCE with a baseline, GRPO, the KL
                   divergence to a reference
    speculative    a cheap draft writes, the model checks: the same text, fewer passes
    contrastive    InfoNCE in one direction or both, NT-Xent, negatives from all
                   processes with their gradients
training/
    train          the loop: steps() is a generator, and the body of your `for` is yours
    optim          parameter groups, warm-up and decay as functions of the step, AdamW
                   and its forerunners written out
    distributed    one processor, one GPU or many under torchrun, from the environment
    checkpoint     one safetensors file, written whole or not at all; resume from the
                   newest valid one
    oom            out of memory: the same run again with half the micro-batch and the
                   same step
    federated      clients train on rows that stay with them; their weights are averaged
    continual      tasks one after another: the task x time matrix, replay, EWC, classes
                   as mean vectors
evaluation/
    metrics        accuracy, F1, calibration, losses over all targets, n-gram baselines
    intervals      bootstrap and Wilson intervals, paired differences, a sign-flip test
    retrieval      recall@k, hit rate, reciprocal rank and nDCG, exact where scores tie
    translation    BLEU and chrF as sacrebleu has them, intervals, a translation memory,
                   a dictionary
    scaling        a law fitted to small runs, with its interval
    cost           parameters, operations and bytes by formula; hours, memory and money
                   of a run
    trust          slices, calibration, fairness between groups, words that should not
                   matter
    privacy        membership attacks, gradients of each row, DP-SGD and its accountant
    explain        integrated gradients, attention, ablated heads, tests of faithfulness
    drift          has the stream changed: PSI, KS, embeddings, ADWIN, a tuned alarm
                   line; a sequential test for a canary
deploy/
    compress       int8 and int4 weights, pruned weights and heads, and a clock that
                   compares fairly
    export         a classifier as one ONNX file with its tokenizer and labels, run by
                   onnxruntime, without torch, and compared with its model
    registry       adapters on one frozen base: a register with hashes and the base's
                   fingerprint
    batching       requests that wait while the model computes become its next batch
    versions       a pointer to the version that serves, the way back, a canary
    serve          an HTTP service: limits, health, metrics, logs without texts
    http_server    uvicorn with limits on slow and many clients, and a clean end
    supervisor     a child that serves, and another at once when it is killed
    ray_service    the same on Ray Serve: replicas, batches, an update under load
course/            (the course's furniture; it may import the other rooms)
    sources        the course's data sets, real texts that need no network
    translations   English sentences of programs with their human Chinese, split by file
    commands       sentences to a house and the calls they mean, split by wording
    house          names of rooms and devices for them
    silver         questions about film reviews, answered by a table of films
    speech         spoken digits and commands for chapter 21
    recorder       ten spoken digits from the browser's microphone
    people         people in tables and names in reviews, for chapter 22
    wheels         files inside packages that are read and never installed
    hub            a model's name becomes a local folder, with or without a network
    plot           one figure style; every figure has a caption
    diagrams       drawn diagrams, stored with a description
    doctor         is this machine ready? (`python -m ftlib.course.doctor`)
    project        a table of your own to a measured, exported and described model
                   (`python -m ftlib project`)
    reproducibility  seeds, threads, and what machine this is
    checks         what checks the exercises of the chapters

The words they share: B batch, T tokens, D width, H heads, V vocabulary. A batch is a
dict of tensors: `input_ids` (B, T), `attention_mask` (B, T), and `labels` with -100 at
ignored positions. A loss function returns a sum, never a mean.
"""
