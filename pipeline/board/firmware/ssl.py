"""ssl: tls under the name that Python has for it."""
from tls import (
    CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED, MBEDTLS_VERSION, PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER, PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER,
    SSLContext)


def create_default_context(*, cafile=None, cadata=None):
    return SSLContext(PROTOCOL_TLS_CLIENT)


def wrap_socket(sock, server_side=False, key=None, cert=None, cert_reqs=CERT_NONE, cadata=None, server_hostname=None, do_handshake=True):
    return SSLContext(PROTOCOL_TLS_SERVER if server_side else PROTOCOL_TLS_CLIENT).wrap_socket(
        sock, server_side=server_side, server_hostname=server_hostname)
