"""tls: a socket that says to the other end that it speaks TLS. Nothing is encrypted and no certificate is checked, since nothing leaves us."""
PROTOCOL_TLS_CLIENT = 0
PROTOCOL_TLS_SERVER = 1
PROTOCOL_DTLS_CLIENT = 2
PROTOCOL_DTLS_SERVER = 3
CERT_NONE = 0
CERT_OPTIONAL = 1
CERT_REQUIRED = 2
MBEDTLS_VERSION = "Mbed TLS 3.6.2"


class SSLContext:
    def __init__(self, protocol):
        self.protocol, self.verify_mode = protocol, CERT_NONE if protocol & 1 else CERT_REQUIRED

    def load_cert_chain(self, certfile, keyfile):
        pass

    def load_verify_locations(self, cafile=None, cadata=None):
        pass

    def get_ciphers(self):
        return []

    def set_ciphers(self, ciphers):
        pass

    def wrap_socket(self, sock, *, server_side=False, do_handshake_on_connect=True, server_hostname=None, client_id=None):
        if not server_side:
            sock._ask("sock.tls")
        return sock
