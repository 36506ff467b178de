"""Runs a program as on a kernel without Landlock: `without_landlock.py PROGRAM [ARGUMENT…]`."""

import ctypes
import os
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_WITH_ENOSYS = 0x7FFF0000, 0x00050000 | 38
# The same number on every architecture.
LANDLOCK_CREATE_RULESET = 444


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("if_so", ctypes.c_ubyte), ("if_not", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction))]


instructions = (Instruction * 4)(
    Instruction(LOAD_WORD, 0, 0, 0),
    Instruction(JUMP_IF_EQUAL, 0, 1, LANDLOCK_CREATE_RULESET),
    Instruction(RETURN, 0, 0, FAIL_WITH_ENOSYS),
    Instruction(RETURN, 0, 0, ALLOW),
)
prctl = ctypes.CDLL(None, use_errno=True).prctl
for arguments in [
    (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Filter(4, instructions)), 0, 0),
]:
    if prctl(*arguments) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
