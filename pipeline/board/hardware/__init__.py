"""What a board is made of, as the firmware meets it: each module answers some operations of the firmware (`operations`) and may be asked
by devices. One module a peripheral; board.py plugs together all that stand here.
"""
