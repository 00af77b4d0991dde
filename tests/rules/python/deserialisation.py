import json
import pickle
import xml.etree.ElementTree as ET
import xml.sax
import xml.sax.handler

import dill
import lxml.etree
import ruamel.yaml
import yaml
from celery import Celery
from flask import request

app = Celery("x")


def load():
    # ruleid: vallum.python.unsafe-deserialisation-of-request, vallum.python.pickle-load
    pickle.loads(request.data)
    # ruleid: vallum.python.unsafe-deserialisation-of-request, vallum.python.pickle-load
    dill.loads(base64.b64decode(request.cookies["s"]))
    # ok: vallum.python.unsafe-deserialisation-of-request
    json.loads(request.data)
    # ok: vallum.python.unsafe-deserialisation-of-request
    yaml.safe_load(request.data)


def cached(redis):
    # ruleid: vallum.python.pickle-load
    pickle.loads(redis.get("k"))
    # ok: vallum.python.pickle-load
    pickle.dumps({"a": 1})
    # ok: vallum.python.pickle-load
    pickle.loads(pickle.dumps(redis))


# ruleid: vallum.python.celery-pickle-serializer
app.conf.update(accept_content=["json", "pickle"])
# ruleid: vallum.python.celery-pickle-serializer
app.conf.task_serializer = "pickle"
# ok: vallum.python.celery-pickle-serializer
app.conf.update(accept_content=["json"], task_serializer="json")
# ok: vallum.python.celery-pickle-serializer
app.conf.task_serializer = "json"

# ruleid: vallum.python.yaml-unsafe-load
yaml.load(doc)
# ruleid: vallum.python.yaml-unsafe-load
yaml.load(doc, Loader=yaml.Loader)
# ruleid: vallum.python.yaml-unsafe-load
yaml.unsafe_load(doc)
# ok: vallum.python.yaml-unsafe-load
yaml.safe_load(doc)
# ok: vallum.python.yaml-unsafe-load
yaml.load(doc, Loader=yaml.SafeLoader)
# ok: vallum.python.yaml-unsafe-load
yaml.load(doc, yaml.CSafeLoader)

# ruleid: vallum.python.xxe-lxml
parser = lxml.etree.XMLParser(resolve_entities=True)
# ruleid: vallum.python.xxe-lxml
parser = lxml.etree.XMLParser(load_dtd=True, no_network=False)
# ok: vallum.python.xxe-lxml
parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True)


def xml_in():
    # ruleid: vallum.python.xml-parse-of-request
    ET.fromstring(request.data)
    # ruleid: vallum.python.xml-parse-of-request
    lxml.etree.fromstring(request.get_data())
    # ok: vallum.python.xml-parse-of-request
    lxml.etree.fromstring(request.get_data(), parser)
    # ok: vallum.python.xml-parse-of-request
    ET.parse("settings.xml")


p = xml.sax.make_parser()
# ruleid: vallum.python.xml-sax-external-entities
p.setFeature(xml.sax.handler.feature_external_ges, True)
# ok: vallum.python.xml-sax-external-entities
p.setFeature(xml.sax.handler.feature_external_ges, False)
