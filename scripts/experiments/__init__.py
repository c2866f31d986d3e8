"""The experiments of `make report`: the questions readers ask of the chapters, answered by runs."""
