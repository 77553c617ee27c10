"""A browser for the tests that open pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.report.browser import Browser


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with Browser.open() as browser:
        yield browser


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """The module's browser; afterwards nothing may have been logged as an error or asked of a network."""
    opened.errors.clear()
    opened.requests.clear()
    yield opened
    opened.js("1")  # events that are on their way arrive first
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
