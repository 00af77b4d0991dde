import os

# ruleid: vallum.python.django-debug-setting
DEBUG = True
# ruleid: vallum.python.django-allowed-hosts-wildcard
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth"]
MIDDLEWARE = []
# ruleid: vallum.python.cookie-flag-off
SESSION_COOKIE_SECURE = False
