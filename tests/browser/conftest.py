"""What the tests of pages share: `open_page`, and the browser behind it."""

from chromium import browser as browser
from chromium import open_page as open_page
