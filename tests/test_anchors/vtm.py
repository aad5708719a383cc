"""Stand-ins for VTM's programs, see the fixture `vtm_files`."""

VTM_VARIABLES = ("VCM_MT_VTM_ENCODER", "VCM_MT_VTM_DECODER", "VCM_MT_VTM_CFG")

VTM_ENCODER = """#!{python}
import argparse, subprocess, sys

print("\\nVVCSoftware: VTM Encoder Version 8.2 [Linux][GCC 9.3.0][64 bit] [SIMD=AVX2]")
if len(sys.argv) == 1:
    sys.exit(1)
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("-c", "-i", "-b", "-o", "-q", "-wdt", "-hgt", "-fr", "-f"):
    parser.add_argument(name, required=True)
for name in ("InputBitDepth", "InternalBitDepth", "OutputBitDepth"):
    parser.add_argument("--" + name, required=True, choices=["10"])
parser.add_argument("--InputChromaFormat", required=True, choices=["420"])
parser.add_argument("--ConformanceWindowMode", required=True, choices=["1"])
options = parser.parse_args()
assert options.f == options.fr == "1"
if "Profile" not in open(options.c).read():
    sys.exit("Error parsing option Profile")
raw = open(options.i, "rb").read()
width, height = int(options.wdt), int(options.hgt)
assert len(raw) == 3 * width * height
command = {ffmpeg!r}, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{{width}}x{{height}}"
coding = "-c:v", "libvvenc", "-preset", "faster", "-qpa", "0", "-threads", "1", "-qp", options.q
command += "-i", "-", *coding, "-vvenc-params", "IntraPeriod=1:GOPSize=1:IntraQPOffset=0"
subprocess.run([*command, "-f", "vvc", options.b], input=raw, check=True)
"""

VTM_DECODER = """#!{python}
import argparse, subprocess

parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("-b", "-o"):
    parser.add_argument(name, required=True)
parser.add_argument("-d", required=True, choices=["10"])
options = parser.parse_args()
command = {ffmpeg!r}, "-xerror", "-f", "vvc", "-i", options.b, "-f", "rawvideo"
subprocess.run([*command, "-pix_fmt", "yuv420p10le", options.o], check=True)
"""
