"""Run by the interpreter of the sslyze environment, which has `cryptography`: an authority and what it signs, into a folder."""

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(**given):
    kinds = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{**dict.fromkeys(kinds.split(), False), **given})


def write(folder, title, key, chain):
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{title}.key").write_bytes(secret)
    (folder / f"{title}.pem").write_bytes(b"".join(one.public_bytes(pem) for one in chain))


def authority():
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(name("test authority")).issuer_name(name("test authority"))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - 400 * DAY).not_valid_after(NOW + 400 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return key, builder.sign(key, hashes.SHA256())


def leaf(signer, begins, ends, host="127.0.0.1", key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuer = name("itself") if signer is None else signer[1].subject
    builder = x509.CertificateBuilder().subject_name(name("itself")).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW + begins * DAY).not_valid_after(NOW + ends * DAY)
    try:
        names = [x509.IPAddress(ipaddress.ip_address(host))]
    except ValueError:
        names = [x509.DNSName(host)]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(usage(digital_signature=True, key_encipherment=True), critical=True)
    eku = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    by, public = (key, key.public_key()) if signer is None else (signer[0], signer[1].public_key())
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    return key, builder.sign(by, hashes.SHA256())


folder = Path(sys.argv[1])
ca = authority()
write(folder, "ca", ca[0], [ca[1]])
for title, one in {
    "good": leaf(ca, -10, 90),
    "expired": leaf(ca, -90, -3),
    "soon": leaf(ca, -90, 3),
    "selfsigned": leaf(None, -10, 90),
    "othername": leaf(ca, -10, 90, host="other.example"),
    "weakkey": leaf(ca, -10, 90, key=rsa.generate_private_key(65537, 1024)),
    "rsa": leaf(ca, -10, 90, key=rsa.generate_private_key(65537, 2048)),
}.items():
    write(folder, title, one[0], [one[1]])
