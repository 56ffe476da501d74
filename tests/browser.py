"""A headless browser, driven by Selenium, for pages that are served."""

import contextlib
import shutil

import pytest

# What Debian, Ubuntu and Google call it.
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')

_ARGUMENTS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--window-size=1400,1000',
  # Names are not looked up: requests to other hosts fail at once.
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
)


@contextlib.contextmanager
def opened(folder):
  """Gives a browser with an empty profile; skips where there is none.

  Args:
    folder: an empty one for its profile.
  """
  browser = next(filter(None, map(shutil.which, BROWSERS)), None)
  driver = shutil.which('chromedriver')
  if browser is None or driver is None:
    pytest.skip('no chromium with chromedriver on this machine')
  from selenium import webdriver

  options = webdriver.ChromeOptions()
  options.binary_location = browser
  for argument in (*_ARGUMENTS, f'--user-data-dir={folder}'):
    options.add_argument(argument)
  options.set_capability(
    'goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'}
  )
  service = webdriver.ChromeService(executable_path=driver)
  found = webdriver.Chrome(options=options, service=service)
  try:
    yield found
  finally:
    found.quit()


def errors(browser):
  """What the page has complained about since the last call."""
  logged = browser.get_log('browser')
  return [x['message'] for x in logged if x['level'] == 'SEVERE']


def addresses(browser):
  """The addresses the page has asked for since the last call."""
  import json

  found = []
  for entry in browser.get_log('performance'):
    message = json.loads(entry['message'])['message']
    if message['method'] == 'Network.requestWillBeSent':
      found.append(message['params']['request']['url'])
  return found
