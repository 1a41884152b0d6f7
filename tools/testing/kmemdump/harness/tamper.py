# SPDX-License-Identifier: GPL-2.0
"""Change bytes on purpose. A change that changes nothing fails. Otherwise, a test of what the
reader or the kernel says about damage would pass without any damage."""

import struct

from .host import Failed


def overwrite(buffer, at, new):
    """Put the bytes @new at @at into a buffer, which is larger and has something else there."""
    end = at + len(new)
    if not 0 <= at < end <= len(buffer):
        raise Failed(f"bytes {at} to {end} are not in the {len(buffer)} that are to be changed")
    if buffer[at:end] == new:
        raise Failed(f"bytes {at} to {end} are just what they were to be changed to")
    buffer[at:end] = new


def changed(data, at, new):
    """@data with the bytes @new at @at."""
    bad = bytearray(data)
    overwrite(bad, at, new)
    return bytes(bad)


def packed(data, at, layout, *values):
    """@data with @values at @at, as struct's @layout has them."""
    return changed(data, at, struct.pack(layout, *values))


def flipped(data, bits):
    """@data with each bit of @bits, which are numbers of different bits, inverted."""
    bits = list(bits)
    if not bits or len(set(bits)) != len(bits):
        raise Failed(f"no bits, or some bit twice: {bits}")
    bad = bytearray(data)
    for bit in bits:
        bad[bit // 8] ^= 1 << bit % 8
    return bytes(bad)


def replaced(data, old, new, count=1):
    """@data with @new in the place of @old, for the first @count times that it is there."""
    if len(old) != len(new) or old == new:
        raise Failed(f"{new!r} does not fit in the place of {old!r}")
    if data.count(old) < count:
        raise Failed(f"{old!r} is there {data.count(old)} times, not {count}")
    return data.replace(old, new, count)
