"""Stand-ins for VTM's programs, see the fixture `vtm_files`."""

VTM_VARIABLES = ("VCM_MT_VTM_ENCODER", "VCM_MT_VTM_DECODER", "VCM_MT_VTM_CFG")
VTM_SEQUENCES = {"ra": "VCM_MT_VTM_CFG_RA", "ld": "VCM_MT_VTM_CFG_LD", "intra": "VCM_MT_VTM_CFG"}

VTM_ENCODER = """#!{python}
import argparse, os, subprocess, sys

print("\\nVVCSoftware: VTM Encoder Version 8.2 [Linux][GCC 9.3.0][64 bit] [SIMD=AVX2]")
if len(sys.argv) == 1:
    sys.exit(1)
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("-c", "-i", "-b", "-o", "-q", "-wdt", "-hgt", "-fr", "-f"):
    parser.add_argument(name, required=True)
parser.add_argument("-ts", choices=["1"])
parser.add_argument("--IntraPeriod", type=int)
for name in ("InputBitDepth", "InternalBitDepth", "OutputBitDepth"):
    parser.add_argument("--" + name, required=True, choices=["10"])
parser.add_argument("--InputChromaFormat", required=True, choices=["420"])
parser.add_argument("--ConformanceWindowMode", required=True, choices=["1"])
options = parser.parse_args()
cfg = open(options.c).read()
if "Profile" not in cfg:
    sys.exit("Error parsing option Profile")
count = int(options.f)
mode = next((mode for mode in ("random access", "low delay") if mode in cfg), "intra")
assert options.fr == "1" if count == 1 and mode == "intra" else int(options.fr) > 0
assert (options.IntraPeriod is not None) == (mode == "random access")
assert (options.ts is not None) == (mode == "intra" and options.fr != "1")
raw = open(options.i, "rb").read()
width, height = int(options.wdt), int(options.hgt)
assert len(raw) == 3 * width * height * count
command = {ffmpeg!r}, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{{width}}x{{height}}"
coding = "-c:v", "libvvenc", "-preset", "faster", "-qpa", "0", "-threads", "1", "-qp", options.q
command += "-r", options.fr, "-i", "-", *coding, "-vvenc-params", {{
    "intra": "IntraPeriod=1:GOPSize=1:IntraQPOffset=0",
    "random access": f"IntraPeriod={{options.IntraPeriod}}:GOPSize=32",
    "low delay": "PicReordering=0:DecodingRefreshType=none:GOPSize=8:IntraPeriod=100000:MCTF=0"
    ":BIM=0",
}}[mode]
for _ in range(4):  # libvvenc sometimes gives nothing back, see vcm_mt.anchors.ffmpeg
    subprocess.run([*command, "-y", "-f", "vvc", options.b], input=raw, check=True)
    if os.path.getsize(options.b):
        break
"""

VTM_DECODER = """#!{python}
import argparse, subprocess

parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("-b", "-o"):
    parser.add_argument(name, required=True)
parser.add_argument("-d", required=True, choices=["10"])
options = parser.parse_args()
command = {ffmpeg!r}, "-xerror", "-f", "vvc", "-i", options.b, "-fps_mode", "passthrough"
subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", options.o], check=True)
"""
