class Peripheral:
    def __init__(self, board):
        self.operations = {}
    def release(self, name):
        pass
