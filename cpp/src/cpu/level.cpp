#include "cpu/level.h"

#include <cpuid.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace tamis::cpu {
namespace {

struct Features {
  bool avx2 = false, avx512 = false, bf16 = false, vnni = false;
};

uint64_t enabled_state() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

Features detect() {
  Features found;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29);
  if (!osxsave || (enabled_state() & 0x6) != 0x6) return found;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = (b & (1u << 5)) && fma && f16c;
  const unsigned foundation = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F DQ BW VL
  const bool zmm = (enabled_state() & 0xe6) == 0xe6;
  found.avx512 = found.avx2 && zmm && (b & foundation) == foundation;
  found.vnni = found.avx512 && (c & (1u << 11));
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) found.bf16 = found.avx512 && (a & (1u << 5));
  return found;
}

struct Level {
  const char* name;
  bool present;
  const Kernels* kernels;
};

const std::vector<Level>& table() {
  static const std::vector<Level> levels = [] {
    const Features f = detect();
    return std::vector<Level>{
        {"scalar", true, &kScalar},
        {"avx2", f.avx2, &kAvx2},
        {"avx512", f.avx512, &kAvx512},
        // A bfloat16 pass has 8 bits where float16 rows have 11: its margin sends too many rows to
        // float32, and every machine that has it has VNNI too. The level shares avx512's kernels.
        {"avx512bf16", f.bf16, &kAvx512},
        {"avx512vnni", f.vnni, &kAvx512Vnni},
    };
  }();
  return levels;
}

std::string names(bool present_only) {
  std::string text;
  for (const Level& level : table()) {
    if (level.present || !present_only) text += std::string(text.empty() ? "" : ", ") + level.name;
  }
  return text;
}

const Level& chosen() {
  const char* text = std::getenv("TAMIS_CPU_ISA");
  const std::string name = text ? text : "";
  const Level* best = nullptr;
  for (const Level& level : table()) {
    if (level.present) best = &level;
    if (name != level.name) continue;
    if (level.present) return level;
    throw std::invalid_argument("TAMIS_CPU_ISA=" + name + ": this machine lacks it; it has " +
                                names(true));
  }
  if (name.empty()) return *best;
  throw std::invalid_argument("TAMIS_CPU_ISA=" + name + ": expected one of " + names(false) +
                              "; this machine has " + names(true));
}

}  // namespace

std::vector<std::string> levels() {
  std::vector<std::string> names;
  for (const Level& level : table()) {
    if (level.present) names.emplace_back(level.name);
  }
  return names;
}

std::string level() { return chosen().name; }

const Kernels& kernels() { return *chosen().kernels; }

int thread_count() {
  if (const char* text = std::getenv("TAMIS_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);
    if (*end || count < 1 || count > 4096) {
      throw std::invalid_argument(std::string("TAMIS_NUM_THREADS=") + text +
                                  ": expected a whole number from 1 to 4096");
    }
    return static_cast<int>(count);
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

}  // namespace tamis::cpu
