"""Join a network and publish a temperature every ten seconds."""
import time

import network
from machine import ADC
from umqtt.simple import MQTTClient

CONVERSION = 3.3 / 65535


def connect(ssid, password, timeout_s=20):
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        wlan.connect(ssid, password)
        started = time.ticks_ms()
        while not wlan.isconnected():
            if time.ticks_diff(time.ticks_ms(), started) > timeout_s * 1000:
                raise OSError("no connection to " + ssid)
            time.sleep_ms(100)
    return wlan.ifconfig()[0]


def temperature(adc):
    volts = adc.read_u16() * CONVERSION
    return 27 - (volts - 0.706) / 0.001721


def main(ssid, password, broker):
    print("address", connect(ssid, password))
    client = MQTTClient("robot", broker)
    client.connect()
    adc = ADC(4)
    while True:
        client.publish(b"robot/temperature", str(temperature(adc)).encode())
        time.sleep(10)
