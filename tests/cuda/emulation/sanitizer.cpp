// Kernels are compiled with -fsanitize, which calls these functions where an access is misaligned,
// an index leaves its array, or an integer overflows. They end the launch with the place, instead
// of the program.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "block.h"

namespace {

// What the compiler passes first.
struct Source {
  const char* file;
  uint32_t line, column;
};

[[noreturn]] void report(const void* data, const char* what) {
  const auto& source = *static_cast<const Source*>(data);
  const std::string path = source.file == nullptr ? "?" : source.file;
  const std::string sentence = std::string(what) + " (" + path.substr(path.rfind('/') + 1) + ":" +
                               std::to_string(source.line) + ")";
  if (tamis::emulation::running != nullptr) tamis::emulation::fail_at_once(sentence);
  std::fprintf(stderr, "host code %s\n", sentence.c_str());
  std::abort();
}

}  // namespace

#define TAMIS_HANDLER(name, what)                                                               \
  extern "C" [[noreturn]] void __ubsan_handle_##name##_abort(void* data, uintptr_t, uintptr_t); \
  void __ubsan_handle_##name##_abort(void* data, uintptr_t, uintptr_t) { report(data, what); }

TAMIS_HANDLER(type_mismatch_v1, "used a null or misaligned pointer")
TAMIS_HANDLER(out_of_bounds, "indexed an array out of its bounds")
TAMIS_HANDLER(shift_out_of_bounds, "shifted by more than a number has bits")
TAMIS_HANDLER(add_overflow, "overflowed a signed integer")
TAMIS_HANDLER(sub_overflow, "overflowed a signed integer")
TAMIS_HANDLER(mul_overflow, "overflowed a signed integer")
TAMIS_HANDLER(negate_overflow, "overflowed a signed integer")
TAMIS_HANDLER(divrem_overflow, "divided by zero")
