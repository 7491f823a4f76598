"""Read acceleration and rotation from an MPU6050 over I2C."""
import struct
import time

from machine import I2C, Pin

ADDRESS = 0x68
PWR_MGMT_1 = 0x6B
ACCEL_XOUT_H = 0x3B
ACCEL_SCALE = 16384.0
GYRO_SCALE = 131.0


class MPU6050:
    def __init__(self, i2c, address=ADDRESS):
        self.i2c = i2c
        self.address = address
        self.i2c.writeto_mem(self.address, PWR_MGMT_1, b"\x00")

    def read(self):
        """Acceleration in g and rotation in degrees per second, three axes each."""
        data = self.i2c.readfrom_mem(self.address, ACCEL_XOUT_H, 14)
        ax, ay, az, _, gx, gy, gz = struct.unpack(">7h", data)
        acceleration = (ax / ACCEL_SCALE, ay / ACCEL_SCALE, az / ACCEL_SCALE)
        rotation = (gx / GYRO_SCALE, gy / GYRO_SCALE, gz / GYRO_SCALE)
        return acceleration, rotation


i2c = I2C(0, scl=Pin(5), sda=Pin(4), freq=400_000)
if ADDRESS not in i2c.scan():
    raise OSError("no MPU6050 on the bus")
imu = MPU6050(i2c)
while True:
    acceleration, rotation = imu.read()
    print("g:", acceleration, "deg/s:", rotation)
    time.sleep_ms(200)
