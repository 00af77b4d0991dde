import os

# ok: vallum.python.django-debug-setting
DEBUG = os.environ.get("DEBUG") == "1"
# ok: vallum.python.django-allowed-hosts-wildcard
ALLOWED_HOSTS = ["shop.example"]
INSTALLED_APPS = ["django.contrib.auth"]
# ok: vallum.python.cookie-flag-off
SESSION_COOKIE_SECURE = True
