"""A board without hardware: the sandboxed interpreter, the firmware that it runs, the log of what its pins did, and checks over that."""
