"""YOLOX as its authors name its layers, to make weights in the form in which they publish them."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class BaseConv(nn.Module):
    def __init__(self, inside, outside, kernel, stride=1, groups=1):
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.silu(self.bn(self.conv(x)))


class DWConv(nn.Module):
    def __init__(self, inside, outside, kernel, stride=1):
        super().__init__()
        self.dconv = BaseConv(inside, inside, kernel, stride, groups=inside)
        self.pconv = BaseConv(inside, outside, 1)

    def forward(self, x):
        return self.pconv(self.dconv(x))


class Bottleneck(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.conv1 = BaseConv(width, width, 1)
        self.conv2 = DWConv(width, width, 3)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return y + x if self.shortcut else y


class CSPLayer(nn.Module):
    def __init__(self, inside, outside, count=1, shortcut=True):
        super().__init__()
        half = outside // 2
        self.conv1 = BaseConv(inside, half, 1)
        self.conv2 = BaseConv(inside, half, 1)
        self.conv3 = BaseConv(2 * half, outside, 1)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(count)))

    def forward(self, x):
        return self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], 1))


class SPPBottleneck(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = BaseConv(width, width // 2, 1)
        self.conv2 = BaseConv(2 * width, width, 1)

    def forward(self, x):
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1))


class Focus(nn.Module):
    def __init__(self, outside):
        super().__init__()
        self.conv = BaseConv(12, outside, 3)

    def forward(self, x):
        parts = [x[..., down::2, right::2] for right in (0, 1) for down in (0, 1)]
        return self.conv(torch.cat(parts, 1))


class Darknet(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.stem = Focus(base)
        self.dark2 = self._stage(base, 1)
        self.dark3 = self._stage(2 * base, 3)
        self.dark4 = self._stage(4 * base, 3)
        self.dark5 = nn.Sequential(
            DWConv(8 * base, 16 * base, 3, 2),
            SPPBottleneck(16 * base),
            CSPLayer(16 * base, 16 * base, 1, shortcut=False),
        )

    @staticmethod
    def _stage(inside, count):
        down = DWConv(inside, 2 * inside, 3, 2)
        return nn.Sequential(down, CSPLayer(2 * inside, 2 * inside, count))

    def forward(self, x):
        x = self.dark2(self.stem(x))
        maps = []
        for stage in (self.dark3, self.dark4, self.dark5):
            x = stage(x)
            maps.append(x)
        return maps


class PAFPN(nn.Module):
    def __init__(self, base):
        super().__init__()
        low, middle, high = 4 * base, 8 * base, 16 * base
        self.backbone = Darknet(base)
        self.lateral_conv0 = BaseConv(high, middle, 1)
        self.C3_p4 = CSPLayer(2 * middle, middle, 1, shortcut=False)
        self.reduce_conv1 = BaseConv(middle, low, 1)
        self.C3_p3 = CSPLayer(2 * low, low, 1, shortcut=False)
        self.bu_conv2 = DWConv(low, low, 3, 2)
        self.C3_n3 = CSPLayer(2 * low, middle, 1, shortcut=False)
        self.bu_conv1 = DWConv(middle, middle, 3, 2)
        self.C3_n4 = CSPLayer(2 * middle, high, 1, shortcut=False)

    def forward(self, x):
        low, middle, high = self.backbone(x)
        top = self.lateral_conv0(high)
        middle = self.C3_p4(torch.cat([F.interpolate(top, scale_factor=2), middle], 1))
        reduced = self.reduce_conv1(middle)
        low = self.C3_p3(torch.cat([F.interpolate(reduced, scale_factor=2), low], 1))
        middle = self.C3_n3(torch.cat([self.bu_conv2(low), reduced], 1))
        return low, middle, self.C3_n4(torch.cat([self.bu_conv1(middle), top], 1))


class Head(nn.Module):
    def __init__(self, base, classes):
        super().__init__()
        width, widths = 4 * base, (4 * base, 8 * base, 16 * base)
        self.stems = nn.ModuleList(BaseConv(inside, width, 1) for inside in widths)
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(
                nn.Sequential(DWConv(width, width, 3), DWConv(width, width, 3)) for _ in widths
            )
            for _ in range(2)
        )
        self.cls_preds, self.reg_preds, self.obj_preds = (
            nn.ModuleList(nn.Conv2d(width, count, 1) for _ in widths) for count in (classes, 4, 1)
        )

    def forward(self, maps):
        told = ([], [], [])
        for k, x in enumerate(maps):
            x = self.stems[k](x)
            classes, boxes = self.cls_convs[k](x), self.reg_convs[k](x)
            told[0].append(self.cls_preds[k](classes))
            told[1].append(self.reg_preds[k](boxes))
            told[2].append(self.obj_preds[k](boxes))
        return told


class YOLOX(nn.Module):
    """YOLOX-nano: scores, boxes and objectness of a picture at three scales."""

    def __init__(self, base=16, classes=80):
        super().__init__()
        self.backbone = PAFPN(base)
        self.head = Head(base, classes)

    def forward(self, x):
        return self.head(self.backbone(x))
