# SPDX-License-Identifier: GPL-2.0
"""Builds kernels with kmemdump, crashes them in QEMU and reads what came out."""
