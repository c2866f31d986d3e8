"""Text of any script through everything, by the README's own line."""

from pathlib import Path

import pytest
from helpers.running import CONFIGS, charlm
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TEXTS = {
    "Chinese": "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n",
    "Greek": "Ἄνδρα μοι ἔννεπε, Μοῦσα, πολύτροπον, ὃς μάλα πολλὰ\n",
    "French": "L'été, à Nîmes, où l'on s'ennuie ; « ça va ? » — « Oui ! »\n",
    "emoji": "😀🎉👩\u200d👩\u200d👧 ❤️ 😀😀 🇫🇷\n",
    "right to left": "שָׁלוֹם עֲלֵיכֶם — السلام عليكم ورحمة الله\n",
}
SMALL = (
    *("--data.max_chars", 1500, "--data.num_lanes", 4, "--data.num_steps", 20),
    *("--model.hidden_sizes=[8]", "--trainer.max_epochs", 1, "--samples.every_n_epochs", 1),
)


@pytest.mark.parametrize("script", TEXTS)
def test_any_script(tmp_path: Path, script: str) -> None:
    text = tmp_path / "my.txt"
    text.write_text(TEXTS[script] * 50, encoding="utf-8")
    root = ("--trainer.default_root_dir", tmp_path)
    # make train ARGS="--data.path my.txt"
    trained = charlm("fit", "--config", CONFIGS / "rnn.yaml", "--data.path", text, *SMALL, *root)
    assert trained.code == 0, trained.err
    assert "failed" not in trained.err
    folder = tmp_path / "lightning_logs" / "version_0"
    last = folder / "checkpoints" / "last.ckpt"
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    assert [tag for tag in events.Tags()["tensors"] if tag.startswith("samples/")]

    written = charlm("generate", "--checkpoint", last, "--num_chars", 5)
    assert written.code == 0, written.err
    # It continues the text's own beginning, which the samples continued too.
    assert written.out.startswith(TEXTS[script][:5])
    assert f"epoch 1: {TEXTS[script][:5]}" in trained.err

    page = tmp_path / "page.html"
    scored = charlm("score", "--checkpoint", last, text, "--html", page)
    assert scored.code == 0, scored.err
    assert page.stat().st_size > 1000
