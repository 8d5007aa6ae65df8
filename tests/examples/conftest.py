"""The browser, for the page that a real run leaves."""

from chromium import browser as browser
from chromium import open_page as open_page
