// Bits: logic, shifts, fields, counts and bytes.
#include "arithmetic.h"

namespace ptx {
namespace {

template <class T>
constexpr uint32_t kBits = 8 * sizeof(T);

template <class T>
T logic(T a, T b, T c, uint32_t table) {
  T result = 0;
  for (uint32_t row = 0; row < 8; ++row) {
    if ((table >> row & 1) == 0) continue;
    const T from_a = row & 4 ? a : ~a, from_b = row & 2 ? b : ~b, from_c = row & 1 ? c : ~c;
    result |= from_a & from_b & from_c;
  }
  return result;
}

Execute find_logic(const Instruction& i) {
  const std::string& name = i.words[0];
  if (i.words.size() != 2) return nullptr;
  if (name == "lop3" && i.words[1] == "b32") {
    return lanewise<uint32_t, uint32_t, uint32_t, uint32_t>(
        i,
        [](uint32_t a, uint32_t b, uint32_t c, uint32_t table) { return logic(a, b, c, table); });
  }
  return by_type<bool, uint16_t, uint32_t, uint64_t>(i.words[1], [&]<class T>() -> Execute {
    if (name == "and") return lanewise<T, T>(i, [](T a, T b) { return T(a & b); });
    if (name == "or") return lanewise<T, T>(i, [](T a, T b) { return T(a | b); });
    if (name == "xor") return lanewise<T, T>(i, [](T a, T b) { return T(a ^ b); });
    if (name == "not") {
      return lanewise<T>(i,
                         [](T a) { return T(std::same_as<T, bool> ? a == T{0} : ~uint64_t{a}); });
    }
    if constexpr (!std::same_as<T, bool>) {
      if (name == "cnot") return lanewise<T>(i, [](T a) { return T(a == 0); });
    }
    return nullptr;
  });
}

uint32_t funnel(bool left, uint32_t a, uint32_t b, uint32_t n) {
  const uint64_t both = uint64_t{b} << 32 | a;
  return static_cast<uint32_t>(left ? both << n >> 32 : both >> n);
}

Execute find_funnel(const Instruction& i) {
  if (i.words.size() != 4 || i.words[3] != "b32") return nullptr;
  const bool left = i.words[1] == "l", wraps = i.words[2] == "wrap";
  if ((!left && i.words[1] != "r") || (!wraps && i.words[2] != "clamp")) return nullptr;
  struct Options {
    bool left, wraps;
    explicit Options(const Instruction& from)
        : left(from.words[1] == "l"), wraps(from.words[2] == "wrap") {}
  };
  return lanewise_with<Options, uint32_t, uint32_t, uint32_t>(
      i, [](const Options& options, uint32_t a, uint32_t b, uint32_t n) {
        return funnel(options.left, a, b, options.wraps ? n & 31 : std::min(n, 32u));
      });
}

Execute find_shift(const Instruction& i) {
  const std::string& name = i.words[0];
  if (i.words.size() != 2) return nullptr;
  return by_integer(i.words[1], [&]<class T>() -> Execute {
    if (name == "shr") {
      return lanewise<T, uint32_t>(i, [](T a, uint32_t n) {
        if (n < kBits<T>) return T(a >> n);
        return T(a < 0 ? -1 : 0);
      });
    }
    return lanewise<T, uint32_t>(
        i, [](T a, uint32_t n) { return n < kBits<T> ? T(static_cast<uint64_t>(a) << n) : T{0}; });
  });
}

// The highest bit that is not the sign; all ones where there is none.
template <class T>
uint32_t highest(T a) {
  const auto bits = static_cast<std::make_unsigned_t<T>>(a < 0 ? ~a : a);
  return static_cast<uint32_t>(std::bit_width(bits)) - 1;
}

template <class T>
T field(T a, uint32_t position, uint32_t length) {
  position &= 0xff, length &= 0xff;
  const uint32_t top = kBits<T> - 1;
  const bool sign =
      std::is_signed_v<T> && length != 0 && (a >> std::min(position + length - 1, top) & 1) != 0;
  uint64_t result = 0;
  for (uint32_t bit = 0; bit <= top; ++bit) {
    const bool inside = bit < length && position + bit <= top;
    result |= uint64_t{inside ? (a >> (position + bit) & 1) != 0 : sign} << bit;
  }
  return static_cast<T>(result);
}

template <class T>
T inserted(T a, T b, uint32_t position, uint32_t length) {
  position &= 0xff, length &= 0xff;
  if (position >= kBits<T>) return b;
  const T ones = length < kBits<T> ? (T{1} << length) - 1 : ~T{0};
  const T mask = ones << position;
  return (b & ~mask) | (a << position & mask);
}

template <class T>
T reversed(T a) {  // neighbours of one bit, of two, and so on
  T mask = ~T{0};
  for (uint32_t half = kBits<T> / 2; half != 0; half /= 2) {
    mask ^= mask << half;
    a = (a >> half & mask) | (a & mask) << half;
  }
  return a;
}

Execute find_fields(const Instruction& i) {
  const std::string &name = i.words[0], &type = i.words.back();
  if (name == "bfind") {
    if (!only(i, {"shiftamt"}) || i.words.size() > 3 || type[0] == 'b') return nullptr;
    return by_type<int32_t, uint32_t, int64_t, uint64_t>(type, [&]<class T>() {
      if (i.words.size() == 2) return lanewise<T>(i, [](T a) { return highest(a); });
      return lanewise<T>(i, [](T a) {
        const uint32_t found = highest(a);
        return found == ~0u ? found : kBits<T> - 1 - found;
      });
    });
  }
  if (i.words.size() != 2) return nullptr;
  if (name == "bfe") {
    return by_type<int32_t, uint32_t, int64_t, uint64_t>(type, [&]<class T>() {
      return lanewise<T, uint32_t, uint32_t>(
          i, [](T a, uint32_t position, uint32_t length) { return field(a, position, length); });
    });
  }
  return by_type<uint32_t, uint64_t>(type, [&]<class T>() -> Execute {
    if (name == "popc") return lanewise<T>(i, [](T a) { return std::popcount(a); });
    if (name == "clz") return lanewise<T>(i, [](T a) { return std::countl_zero(a); });
    if (name == "brev") return lanewise<T>(i, [](T a) { return reversed(a); });
    if (name == "bfi") {
      return lanewise<T, T, uint32_t, uint32_t>(i,
                                                [](T a, T b, uint32_t position, uint32_t length) {
                                                  return inserted(a, b, position, length);
                                                });
    }
    return nullptr;
  });
}

// Of {b, a}: the byte that a selector of the generic form names.
uint32_t picked(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = uint64_t{b} << 32 | a;
  const uint32_t byte = both >> (8 * (selector & 7)) & 0xff;
  if ((selector & 8) == 0) return byte;
  return byte & 0x80 ? 0xff : 0;
}

// The selectors of the special forms, by the two low bits of c: the lowest byte first.
constexpr struct {
  const char* mode;
  uint16_t selectors[4];
} kPermutes[] = {
    {"f4e", {0x3210, 0x4321, 0x5432, 0x6543}}, {"b4e", {0x5670, 0x6701, 0x7012, 0x0123}},
    {"rc8", {0x0000, 0x1111, 0x2222, 0x3333}}, {"ecl", {0x3210, 0x3211, 0x3222, 0x3333}},
    {"ecr", {0x0000, 0x1110, 0x2210, 0x3210}}, {"rc16", {0x1010, 0x3232, 0x1010, 0x3232}},
};

struct Permute {
  const uint16_t* selectors = nullptr;
  explicit Permute(const Instruction& from) {
    for (const auto& [mode, found] : kPermutes) {
      if (from.words.back() == mode) selectors = found;
    }
  }
};

Execute find_permute(const Instruction& i) {
  const bool generic = i.words.size() == 2;
  if (i.words.size() < 2 || i.words[1] != "b32") return nullptr;
  if (!generic && (i.words.size() != 3 || Permute(i).selectors == nullptr)) return nullptr;
  return lanewise_with<Permute, uint32_t, uint32_t, uint32_t>(
      i, [](const Permute& permute, uint32_t a, uint32_t b, uint32_t c) {
        if (permute.selectors != nullptr) c = permute.selectors[c & 3];
        uint32_t result = 0;
        for (int byte = 0; byte < 4; ++byte) result |= picked(a, b, c >> 4 * byte) << 8 * byte;
        return result;
      });
}

}  // namespace

Execute find_bits(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "prmt") return find_permute(i);
  if (name == "shf") return find_funnel(i);
  if (name == "shl" || name == "shr") return find_shift(i);
  if (const Execute found = find_logic(i)) return found;
  return find_fields(i);
}

}  // namespace ptx
