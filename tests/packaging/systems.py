"""What compiled modules may count on where they are installed."""

LIBC = {
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
}
"""A manylinux system has these."""

COMPILER = {"libstdc++.so.6", "libgcc_s.so.1"}
"""A build with the machine's own compiler adds these."""

NEWEST_GLIBC = (2, 28)
