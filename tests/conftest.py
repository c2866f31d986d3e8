"""What several test files share."""

import pytest

from charlm.corpora import CorpusUnavailable, read_corpus


@pytest.fixture(scope="session")
def novel() -> str:
    """The Time Machine as the book distributes it: from CHARLM_DATA, the cache or the network."""
    try:
        return read_corpus("time-machine")
    except CorpusUnavailable as unavailable:
        pytest.skip(str(unavailable))
