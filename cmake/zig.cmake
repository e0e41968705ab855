# A toolchain for wheels that run on every Linux with glibc 2.28 or newer, whatever the machine that
# builds them: the compiler, its libc++ (linked statically) and glibc's stubs come from the PyPI
# package ziglang. ZIG names its executable.
if(NOT DEFINED ENV{ZIG})
  message(FATAL_ERROR "cmake/zig.cmake: the environment variable ZIG must name the zig executable")
endif()
set(CMAKE_CXX_COMPILER "$ENV{ZIG};c++")
# The oldest x86-64, whatever zig would assume: files that need more say so themselves. No traps on
# undefined behaviour, which zig adds by default, and no debug symbols of libc++.
# Debian's Python.h includes <x86_64-linux-gnu/...>: /usr/include, last, serves for that alone.
set(CMAKE_CXX_FLAGS_INIT
    "-target x86_64-linux-gnu.2.28 -mcpu=x86_64 -fno-sanitize=all -idirafter /usr/include")
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-s")
