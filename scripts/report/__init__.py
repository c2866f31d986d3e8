"""The book's questions, answered by experiments: `make report`."""
