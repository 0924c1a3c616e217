"""Small files for pretraining and fine-tuning: copy one into your own project, or import it from here.

Importing `ftlib` imports nothing else. Each module stands alone: it imports no other module of ftlib, and says in its
docstring what it is, how to use it, what it is not, and what it needs.

    data         real texts that need no network, split by a hash of the text; your own CSV with located errors
    hub          a model's name becomes a local folder, with or without a network
    tokenize     train and load WordPiece and BPE; pack text into rows, pad batches to their longest row
    attention    scaled dot products, masks and heads written out; the attention maps of a loaded model
    positions    waves to add, rotations of queries and keys, places of padded rows, longer tables
    blocks       encoder and decoder block, residual and norm, feed-forward, to read and take apart
    model        one transformer, bidirectional or causal; loads and saves BERT and GPT-2 folders
    mlm          masked language modelling: masks, losses, sentence pairs, filling masks; a demo
    clm          causal language modelling: shifted loss, sampling, the key-value cache, perplexity
    classify     heads on any encoder, freezing, batches grouped by length, predictions
    continual    tasks one after another: the task x time matrix, replay, EWC, classes as mean vectors
    vision       EfficientNet-Lite0 and a small network to read; freezing, rates by depth, augmentation, printed letters
    lora         low-rank parts of linear layers: add, merge, count, save and load in peft's format
    parts        parts on one frozen base: a register with hashes and the base's fingerprint, sums of parts
    cost         weights, operations and bytes of a transformer, by formula
    corpus       cleaning, near-duplicates by MinHash, test texts inside a training corpus
    scaling      a law fitted to small runs, with its interval; time, memory and money of a run
    autograd     backpropagation to read: scalars, tensors, finite differences
    optim        parameter groups, warm-up and decay as functions of the step, AdamW and its forerunners written out
    train        the loop: steps() is a generator, and the body of your `for` is yours
    memory       out of memory: the same run again with half the micro-batch and the same step
    launch       one processor, one GPU or many under torchrun, from the environment
    federated    clients train on rows that stay with them; their weights are averaged
    checkpoint   one safetensors file, written whole or not at all; resume from the newest valid one
    streaming    more text than memory: files or a datasets stream as packed rows, resumed by position
    evaluate     accuracy, F1, calibration, bootstrap intervals, n-gram baselines
    plot         one figure style; every figure says in a sentence what it shows
    seed         seeds, threads, and what machine this is
    doctor       is this machine ready? (`python -m ftlib.doctor`)
    checks       what checks the exercises of the chapters; the only part that imports the others

The words they share: B batch, T tokens, D width, H heads, V vocabulary. A batch is a dict of tensors: `input_ids`
(B, T), `attention_mask` (B, T), and `labels` with -100 where nothing is asked. A loss function returns a sum, never a
mean.
"""
