"""``charlm generate``: continue prefixes with a trained model."""

import json as json_module
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.checkpoint import Trained, contents, load, newest
from charlm.errors import UserError
from charlm.generation.context import Context, check_prefix, read
from charlm.generation.generate import check_options, generate_many
from charlm.text.files import read_text
from charlm.text.prefixes import OF_THE_BOOK, knows, most_frequent


def generate(
    prefix: list[str],
    checkpoint: Path | None = None,
    num_chars: int = 50,
    num_samples: int = 1,
    prefix_file: Path | None = None,
    encoding: str = "utf-8",
    temperature: float | None = None,
    power: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    num_beams: int | None = None,
    seed: int | None = None,
    stop: str | None = None,
    stream: bool = False,
    interactive: bool = False,
    json: bool = False,
    weights: str = "float32",
    device: str = "cpu",
) -> None:
    """Continue a prefix with a trained model; the text is printed on standard output.

    Without an option for it the likeliest character is taken each time. With --temperature, or
    --power, characters are drawn; --top_k, --top_p and --min_p, applied in this order, say from
    which. Of several texts each is the one that would be generated alone, text i with seed + i.

    Args:
        prefix: what the text begins with; may be given several times; none: what the samples in
            training continued first.
        checkpoint: a file that charlm fit wrote, or a folder that charlm export wrote; none: the
            newest under lightning_logs.
        num_chars: how many characters to add.
        num_samples: how many texts of each prefix.
        prefix_file: a file of prefixes, one a line.
        encoding: of that file.
        temperature: 0 takes the likeliest character each time; higher, more freely drawn. None:
            0, but 1 for several samples of documents.
        power: draw with the probabilities to this power: the temperature 1 / power.
        top_k: draw only from the k likeliest characters.
        top_p: draw only from the fewest that together have this probability.
        min_p: draw only from those at least so many times as likely as the likeliest.
        num_beams: look for the likeliest text by beam search, with so many beams.
        seed: of the draws; none: another text each time.
        stop: end the text where it comes to this string, too.
        stream: print each character at once.
        interactive: continue what you type, line by line; Ctrl-C ends a line, Ctrl-D the session.
        json: print each text as a JSON string on a line of its own.
        weights: float16 and bfloat16 keep the weights in 16 bits, int8 in 8: faster, where they are
            large; which is fastest depends on the processor.
        device: where the model runs, such as cpu or cuda.
    """
    options: dict[str, Any] = {
        "temperature": temperature or 0.0,
        "power": power,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
    }
    # Of documents, several samples are drawn unless something else is asked for.
    is_open = temperature is None and power is None and num_beams is None and num_samples > 1
    if is_open:
        options["temperature"] = 1.0
    sampling = check_options(num_samples, num_beams, **options)
    prefixes = _prefixes(prefix, prefix_file, encoding)
    # Without any, one is found below.
    is_one = len(prefixes) < 2 and num_samples == 1 and num_beams is None
    if interactive and (num_samples > 1 or num_beams is not None or len(prefixes) > 1 or json):
        raise UserError(
            "An interactive session goes on with one text: leave out num_samples, num_beams, "
            "prefix_file, json and all prefixes but one."
        )
    if stream and (json or not (is_one or interactive)):
        raise UserError(
            "Characters are streamed of one text, as it is written: leave out stream, or "
            "num_samples, num_beams, json and all prefixes but one."
        )
    if checkpoint is None:
        checkpoint = newest(Path())
        print(f"charlm: {checkpoint}", file=sys.stderr)
    trained = load(checkpoint, device)
    if is_open and trained.vocabulary.mark is None:
        check_options(num_samples, temperature=0.0)
    if not prefixes and not interactive:
        prefixes = [_default_prefix(checkpoint, trained)]
    if interactive:
        _converse(trained, prefixes, weights, num_chars, seed, stop, options)
    elif is_one and not json:
        text = check_prefix(trained.vocabulary, prefixes[0])
        continuation = read(*trained, text, weights).stream(seed, sampling).until(num_chars, stop)
        _print(text, stream)
        for character in continuation:
            _print(character, stream)
        _print("\n", stream)
    else:
        texts = generate_many(
            *trained, prefixes, num_chars, num_samples, seed, stop, num_beams, weights, **options
        )
        for text in texts:
            _print((json_module.dumps(text) if json else text) + "\n", stream)


def _prefixes(given: list[str], file: Path | None, encoding: str) -> list[str]:
    if file is None:
        return given
    if given:
        raise UserError("Give the prefixes by prefix or by prefix_file: leave out one of them.")
    return read_text(file, encoding, option="--encoding").removesuffix("\n").split("\n")


def _default_prefix(checkpoint: Path, trained: Trained) -> str:
    """What training continued first; of older checkpoints, the book's prefix where it can be."""
    data = contents(checkpoint).get("datamodule_hyper_parameters") or {}
    remembered = [*data.get("sample_prefixes", ()), OF_THE_BOOK[0]]
    vocabulary = trained.vocabulary
    return next((p for p in remembered if knows(vocabulary, [p])), most_frequent(vocabulary))


def _print(text: str, at_once: bool) -> None:
    try:
        sys.stdout.write(text)
        if at_once:
            sys.stdout.flush()
    except UnicodeEncodeError as error:
        raise UserError(
            f"Standard output can't show {error.object[error.start]!r} ({error.encoding}): set "
            "PYTHONIOENCODING=utf-8."
        ) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"Can't write standard output: {error.strerror or error}.") from error


def _lines(prompt: str) -> Iterable[str]:
    """The lines that are typed, or piped in, until their end; Ctrl-C takes a line back."""
    if sys.stdin is None:
        raise UserError("There is no standard input to read prefixes from.")
    if not sys.stdin.isatty():
        try:
            yield from (line.rstrip("\n") for line in sys.stdin)
        except UnicodeDecodeError as error:
            raise UserError(
                f"Standard input is not {error.encoding}: pipe in that, or set PYTHONIOENCODING."
            ) from error
        return
    with suppress(ImportError):
        import readline  # noqa: F401 - input() edits lines with it
    while True:
        try:
            yield input(prompt)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()


def _converse(
    trained: Trained,
    prefixes: list[str],
    weights: str,
    num_chars: int,
    seed: int | None,
    stop: str | None,
    options: dict[str, Any],
) -> None:
    """Read a line, continue it, and so on; what was read and written before is never forgotten."""
    context: Context | None = read(*trained, prefixes[0], weights) if prefixes else None
    for number, line in enumerate(_lines("> ")):
        try:
            if trained.vocabulary.normalise(line):
                context = context.read(line) if context else read(*trained, line, weights)
            elif context is None:
                check_prefix(trained.vocabulary, line)
        except UserError as mistake:
            print(f"charlm: {mistake}", file=sys.stderr, flush=True)
            continue
        assert context is not None
        continuation = context.stream(None if seed is None else seed + number, **options)
        characters = continuation.until(num_chars, stop)
        try:
            for character in characters:
                _print(character, at_once=True)
        except KeyboardInterrupt:
            pass
        _print("\n", at_once=True)
        context = continuation.context
