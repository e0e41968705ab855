// What gcc's code asks of a newer glibc than the wheel's, linked into the wheel's tamis._cuda.

// glibc 2.32 and newer: whether the process has one thread, where counters need no atomics. The
// answer no is always right.
char __libc_single_threaded = 0;
