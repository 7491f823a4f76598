"""umqtt.robust: the same client, which connects again where the connection broke."""
from time import sleep

from . import simple


class MQTTClient(simple.MQTTClient):
    DELAY = 2
    DEBUG = False

    def delay(self, i):
        sleep(self.DELAY)

    def log(self, in_reconnect, e):
        if self.DEBUG:
            print("mqtt reconnect: %r" % e if in_reconnect else "mqtt: %r" % e)

    def reconnect(self):
        tries = 0
        while True:
            try:
                return super().connect(False)
            except OSError as error:
                self.log(True, error)
                tries += 1
                self.delay(tries)

    def _again(self, ask):
        while True:
            try:
                return ask()
            except OSError as error:
                self.log(False, error)
            self.reconnect()

    def publish(self, topic, msg, retain=False, qos=0):
        parent = super()
        return self._again(lambda: parent.publish(topic, msg, retain, qos))

    def wait_msg(self):
        parent = super()
        return self._again(lambda: parent.wait_msg())

    def check_msg(self, attempts=2):
        while attempts:
            try:
                return super().check_msg()
            except OSError as error:
                self.log(False, error)
            self.reconnect()
            attempts -= 1
