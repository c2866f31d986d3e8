"""The book's run without a Trainer: from the novel to the loss, on one page.

    python -m scripts.train_by_hand            # 500 epochs, as `charlm fit --config rnn`

It takes the steps of d2l.ai, "RNN from scratch", in the chapter's order, with the parts of charlm
that `charlm fit` uses as well. Its losses and weights are those of `charlm fit --config rnn`, to the
bit where that takes the same loop over time (`--model.backend eager`).

    N characters of the text · T time steps · B lanes · V vocabulary · H hidden size
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm import RNN, Vocabulary, unroll
from charlm.cells import initialise
from charlm.data.batch import gather
from charlm.data.samplers import LaneSampler
from charlm.errors import UserError
from charlm.text.corpora import read_corpus
from charlm.text.normalisation import normalise


@dataclass(frozen=True)
class Options:
    """The book's hyper-parameters, as in charlm/configs/rnn.yaml."""

    num_lanes: int = 32
    num_steps: int = 35
    hidden_size: int = 512
    learning_rate: float = 1.0
    clip_norm: float = 1.0
    max_chars: int = 10_000
    num_epochs: int = 500
    seed: int = 0


class LanguageModel(nn.Module):
    """One recurrent layer, and a linear layer from its hidden states to logits."""

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = RNN(vocab_size, hidden_size)
        initialise(self.cell, "book")
        self.output = nn.Linear(hidden_size, vocab_size)
        nn.init.normal_(self.output.weight, 0.0, 0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, ids_TB: Tensor, hidden_BH: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [T, B, V] for the character after each, and the hidden state after the last."""
        # The loop over time: h' = tanh(W_ih x + b + W_hh h), where x is one-hot.
        outputs_TBH, (hidden_BH,) = unroll(self.cell, ids_TB, (hidden_BH,), backend="eager")
        return self.output(outputs_TBH), hidden_BH


def read_novel() -> tuple[str, Vocabulary]:
    """The Time Machine, in small letters and spaces, and its vocabulary."""
    text = normalise(read_corpus("time-machine"), "book")
    return text, Vocabulary.from_text(text, normalisation="book")


def batches(text: str, vocabulary: Vocabulary, epoch: int, options: Options) -> Iterator[Tensor]:
    """The epoch's windows of T inputs and one target more, [T + 1, B], lane by lane to the right.

    Row b of a batch goes on where row b of the one before ended ("sequential partition").
    """
    ids_N = vocabulary.encode(text[: options.max_chars])
    sampler = LaneSampler(len(ids_N), options.num_lanes, options.num_steps, options.seed)
    for k in range(len(sampler)):
        inputs_TB, targets_TB = gather(ids_N, sampler.starts(epoch, k), options.num_steps)
        yield torch.cat([inputs_TB, targets_TB[-1:]])


def train_epoch(
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    windows: Iterator[Tensor],
    options: Options,
) -> float:
    """One pass over the lanes; the mean loss, in nats per character."""
    hidden_BH = torch.zeros(options.num_lanes, options.hidden_size)
    nats = num_characters = 0.0
    for window_TB in windows:
        # Truncated BPTT: the value of the state is carried over, its history is not.
        hidden_BH = hidden_BH.detach()
        logits_TBV, hidden_BH = model(window_TB[:-1], hidden_BH)
        targets_TB = window_TB[1:]
        loss = F.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())
        optimizer.zero_grad()
        loss.backward()
        # All gradients times min(1, clip_norm / norm of all of them together).
        nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
        optimizer.step()
        nats += loss.item() * targets_TB.numel()
        num_characters += targets_TB.numel()
    return nats / num_characters


@torch.no_grad()
def continue_text(model: LanguageModel, vocabulary: Vocabulary, prefix: str) -> str:
    """The prefix and the 50 characters that the model finds likeliest after it, one by one."""
    ids = torch.from_numpy(vocabulary.encode(prefix).astype("int64"))
    hidden_BH = torch.zeros(1, model.cell.hidden_size)
    # Warm-up: the state reads the prefix, and then each character that was chosen.
    logits_TBV, hidden_BH = model(ids[:, None], hidden_BH)
    continuation = []
    for _ in range(50):
        likeliest = logits_TBV[-1, 0].argmax()
        continuation.append(int(likeliest))
        logits_TBV, hidden_BH = model(likeliest[None, None], hidden_BH)
    return prefix + vocabulary.decode(continuation)


def train(options: Options) -> Iterator[tuple[float, LanguageModel, Vocabulary]]:
    """After each epoch its loss, and the model as it is then."""
    text, vocabulary = read_novel()
    torch.manual_seed(options.seed)
    model = LanguageModel(len(vocabulary), options.hidden_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.learning_rate)
    for epoch in range(options.num_epochs):
        windows = batches(text, vocabulary, epoch, options)
        yield train_epoch(model, optimizer, windows, options), model, vocabulary


def main() -> None:
    """Train, and print the perplexity and a continuation now and then."""
    parser = argparse.ArgumentParser(description="The book's RNN, trained by hand.")
    parser.add_argument("--num_epochs", type=int, default=Options.num_epochs)
    num_epochs = parser.parse_args().num_epochs
    if num_epochs < 1:
        parser.error(f"--num_epochs {num_epochs}: it must be at least 1")
    for epoch, (loss, model, vocabulary) in enumerate(train(Options(num_epochs=num_epochs)), 1):
        if epoch % 50 == 0 or epoch == num_epochs:
            perplexity = torch.tensor(loss).exp().item()
            print(f"epoch {epoch}: perplexity {perplexity:.3f}", flush=True)
            print(f"  {continue_text(model, vocabulary, 'time traveller')}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as mistake:
        sys.exit(str(mistake))
