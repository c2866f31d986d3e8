"""A text shaded by its surprisal: as a page, or for a terminal."""
