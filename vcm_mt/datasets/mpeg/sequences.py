"""What MPEG's conditions fix of each sequence: its class, its frames, and how it is coded."""

from __future__ import annotations

from typing import NamedTuple


class Sequence(NamedTuple):
    """A sequence of the test conditions.

    Attributes:
        group: Its class, as ``B``.
        width: In pixels.
        height: In pixels.
        fps: Frames per second.
        intra_period: From one frame that stands by itself to the next, in random access.
        skip: Frames before the first one that is coded.
        frames: How many are coded.
        first_qp: The lowest of its six QPs in random access and low delay.
        step_qp: From one to the next.
    """

    group: str
    width: int
    height: int
    fps: int
    intra_period: int
    skip: int
    frames: int
    first_qp: int
    step_qp: int

    @property
    def qps(self) -> list[int]:
        """The six QPs, the highest rate first."""
        return [self.first_qp + n * self.step_qp for n in range(6)]


#: SFU-HW-Objects-v1. Frames are those of MPEG m59143, QPs those that the VCM reference software
#: codes at; Kimono is optional, and its class O.
SFU = {
    "Traffic": Sequence("A", 2560, 1600, 30, 32, 117, 33, 35, 4),
    "Kimono": Sequence("O", 1920, 1080, 24, 32, 207, 33, 32, 5),
    "ParkScene": Sequence("B", 1920, 1080, 24, 32, 207, 33, 30, 5),
    "Cactus": Sequence("B", 1920, 1080, 50, 64, 403, 97, 44, 2),
    "BasketballDrive": Sequence("B", 1920, 1080, 50, 64, 403, 97, 38, 3),
    "BQTerrace": Sequence("B", 1920, 1080, 60, 64, 471, 129, 38, 3),
    "BasketballDrill": Sequence("C", 832, 480, 50, 64, 403, 97, 22, 4),
    "BQMall": Sequence("C", 832, 480, 60, 64, 471, 129, 27, 5),
    "PartyScene": Sequence("C", 832, 480, 50, 64, 403, 97, 32, 4),
    "RaceHorsesC": Sequence("C", 832, 480, 30, 32, 235, 65, 27, 4),
    "BasketballPass": Sequence("D", 416, 240, 50, 64, 403, 97, 22, 4),
    "BQSquare": Sequence("D", 416, 240, 60, 64, 471, 129, 22, 4),
    "BlowingBubbles": Sequence("D", 416, 240, 50, 64, 403, 97, 22, 4),
    "RaceHorsesD": Sequence("D", 416, 240, 30, 32, 235, 65, 27, 5),
    "FourPeople": Sequence("E", 1280, 720, 60, 64, 471, 129, 22, 5),
    "Johnny": Sequence("E", 1280, 720, 60, 64, 471, 129, 22, 5),
    "KristenAndSara": Sequence("E", 1280, 720, 60, 64, 471, 129, 22, 5),
}

#: TVD's clips for tracking, in the parts that VCM codes.
TVD = {
    "TVD-01_1": Sequence("TVD", 1920, 1080, 50, 64, 1500, 500, 20, 3),
    "TVD-01_2": Sequence("TVD", 1920, 1080, 50, 64, 2000, 500, 22, 3),
    "TVD-01_3": Sequence("TVD", 1920, 1080, 50, 64, 2500, 500, 22, 4),
    "TVD-02_1": Sequence("TVD", 1920, 1080, 50, 64, 0, 636, 20, 4),
    "TVD-03_1": Sequence("TVD", 1920, 1080, 50, 64, 0, 500, 34, 4),
    "TVD-03_2": Sequence("TVD", 1920, 1080, 50, 64, 500, 500, 29, 4),
    "TVD-03_3": Sequence("TVD", 1920, 1080, 50, 64, 1000, 500, 22, 5),
}

#: HiEve's sequences that MPEG codes, by their class.
HIEVE = {"13": "1080P", "16": "1080P", "2": "720P", "17": "720P", "18": "720P"}


def sfu_name(name: str, width: int) -> str:
    """The key in :data:`SFU` of a sequence: RaceHorses is there in two sizes."""
    plain = name.split("_")[0]
    return (
        {832: "RaceHorsesC", 416: "RaceHorsesD"}.get(width, plain)
        if (plain == "RaceHorses")
        else plain
    )
