"""How well a text is predicted: scoring, baselines, the surprisal page."""
