"""What each unit does: recorded over a text, ranked by what it follows, shown on a page."""
