// Floats: what IEEE 754 rounds, and what only moves or compares.
#include <cfenv>

#include "arithmetic.h"

namespace ptx {
namespace {

Rounding rounding_of(const std::string& word) {
  if (word == "rz") return Rounding::kZero;
  if (word == "rm") return Rounding::kDown;
  return word == "rp" ? Rounding::kUp : Rounding::kNearest;
}

// The words of a float instruction, those that say which instruction it is excepted.
struct Options {
  Rounding rounding;
  bool ftz, sat, relu, nan, xorsign;
  explicit Options(const Instruction& from)
      : rounding(from.words.size() > 1 ? rounding_of(from.words[1]) : Rounding::kNearest),
        ftz(from.has("ftz")),
        sat(from.has("sat")),
        relu(from.has("relu")),
        nan(from.has("NaN")),
        xorsign(from.has("xorsign")) {}
};

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Multiply {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Fuse {
  template <class T>
  T operator()(T a, T b, T c) const {
    return std::fma(a, b, c);
  }
};
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
struct Invert {
  template <class T>
  T operator()(T a) const {
    return 1 / a;
  }
};
struct Root {
  template <class T>
  T operator()(T a) const {
    return std::sqrt(a);
  }
};

// In another direction. Volatile holds the arithmetic between the two changes of it.
template <class F, class T, class... In>
T directed(Rounding rounding, T first, In... others) {
  constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  volatile T value = first;
  std::fesetround(kModes[static_cast<int>(rounding)]);
  const T a = value;
  value = F{}(a, others...);
  std::fesetround(FE_TONEAREST);
  return value;
}

template <class T>
T saturated(T value) {  // NaN too
  return value > 0 ? std::min(value, T{1}) : T{0};
}

template <class F, class... In>
auto with_options(const Options& options, In... in) {
  using T = std::common_type_t<In...>;
  const auto taken = [&](T value) { return options.ftz ? flushed(value) : value; };
  T result = options.rounding == Rounding::kNearest
                 ? F{}(taken(in)...)
                 : directed<F, T>(options.rounding, taken(in)...);
  result = canonical(taken(result));
  return options.sat ? saturated(result) : result;
}

template <class F, class T, class... In>
Execute rounded(const Instruction& i) {
  if (i.has("ftz") || i.has("sat") || i.has("rz") || i.has("rm") || i.has("rp")) {
    return lanewise_with<Options, In...>(
        i, [](const Options& options, In... in) { return with_options<F>(options, in...); });
  }
  return lanewise<In...>(i, [](In... in) { return canonical(F{}(in...)); });
}

// Whether the words have one of the roundings, and have it first; or none where none is needed.
bool rounds(const Instruction& i, bool needed) {
  size_t count = 0;
  for (const char* word : {"rn", "rz", "rm", "rp"}) count += i.has(word);
  const bool first = i.words[1].size() == 2 && i.words[1][0] == 'r';
  return count == 1 ? first : count == 0 && !needed;
}

Execute find_rounded(const Instruction& i) {
  const std::string &name = i.words[0], &type = i.words.back();
  const bool single = type == "f32";
  const bool known =
      single ? only(i, {"rn", "rz", "rm", "rp", "ftz", "sat"}) : only(i, {"rn", "rz", "rm", "rp"});
  if (!known) return nullptr;
  return by_type<float, double>(type, [&]<class T>() -> Execute {
    if (name == "add" && rounds(i, false)) return rounded<Add, T, T, T>(i);
    if (name == "sub" && rounds(i, false)) return rounded<Subtract, T, T, T>(i);
    if (name == "mul" && rounds(i, false)) return rounded<Multiply, T, T, T>(i);
    if ((name == "fma" || name == "mad") && rounds(i, true)) return rounded<Fuse, T, T, T, T>(i);
    if (i.has("sat") || !rounds(i, true)) return nullptr;
    if (name == "div") return rounded<Divide, T, T, T>(i);
    if (name == "rcp") return rounded<Invert, T, T>(i);
    if (name == "sqrt") return rounded<Root, T, T>(i);
    return nullptr;
  });
}

// min and max: a number rather than NaN, and -0 below +0.
template <bool greatest, class T>
T chosen(T a, T b) {
  if (a != a) return b != b ? std::numeric_limits<T>::quiet_NaN() : b;
  if (a == b) return std::signbit(a) == greatest ? b : a;
  return (greatest ? a > b : a < b) || b != b ? a : b;
}

template <bool greatest, class T>
T chosen_with(const Options& options, T a, T b) {
  if (options.nan && (a != a || b != b)) return std::numeric_limits<T>::quiet_NaN();
  if (!options.xorsign) return chosen<greatest>(a, b);
  const T sign = std::signbit(a) != std::signbit(b) ? T{-1} : T{1};
  const T result = chosen<greatest>(std::fabs(a), std::fabs(b));
  return result != result ? result : std::copysign(result, sign);
}

template <bool greatest>
Execute find_choice(const Instruction& i) {
  if (i.words.size() == 2) {
    return by_type<float, double>(i.words[1], [&]<class T>() {
      return lanewise<T, T>(i, [](T a, T b) { return canonical(chosen<greatest>(a, b)); });
    });
  }
  if (i.words.back() != "f32" || !only(i, {"ftz", "NaN", "xorsign", "abs"}) ||
      i.has("xorsign") != i.has("abs")) {
    return nullptr;
  }
  return lanewise_with<Options, float, float>(i, [](const Options& options, float a, float b) {
    if (options.ftz) a = flushed(a), b = flushed(b);
    return canonical(chosen_with<greatest>(options, a, b));
  });
}

Execute find_sign(const Instruction& i) {
  const std::string& name = i.words[0];
  const bool flushes = i.words.size() == 3 && i.words[1] == "ftz" && i.words[2] == "f32";
  if (flushes && name == "neg") {
    return lanewise<float>(i, [](float a) { return canonical(-flushed(a)); });
  }
  if (flushes && name == "abs") {
    return lanewise<float>(i, [](float a) { return canonical(std::fabs(flushed(a))); });
  }
  if (i.words.size() != 2) return nullptr;
  return by_type<float, double>(i.words[1], [&]<class T>() {
    if (name == "neg") return lanewise<T>(i, [](T a) { return canonical(-a); });
    if (name == "abs") return lanewise<T>(i, [](T a) { return canonical(std::fabs(a)); });
    return lanewise<T, T>(i, [](T a, T b) { return std::copysign(b, a); });
  });
}

// Half precision: one rounding of what a double has exactly, or to odd.
struct HalfAdd {
  double operator()(double a, double b, double) const { return sum_to_odd(a, b); }
};
struct HalfSubtract {
  double operator()(double a, double b, double) const { return sum_to_odd(a, -b); }
};
struct HalfMultiply {
  double operator()(double a, double b, double) const { return a * b; }
};
struct HalfFuse {
  double operator()(double a, double b, double c) const { return sum_to_odd(a * b, c); }
};

template <class F, class T>
uint16_t half_result(const Options& options, uint64_t a, uint64_t b, uint64_t c) {
  const auto flush = [&](double value) {
    return options.ftz && std::fabs(value) < std::ldexp(1, -14) ? std::copysign(0, value) : value;
  };
  const auto taken = [&](uint64_t bits) { return flush(exact(as<T>(bits))); };
  double result = exact(small<T>(F{}(taken(a), taken(b), taken(c))));
  result = flush(result);
  if (options.sat) result = saturated(result);
  if (options.relu && result < 0) result = 0;
  return small<T>(result).bits;
}

// One float, or two of them in 32 bits.
template <class F, class T, class... In>
Execute half_rounded(const Instruction& i) {
  if (i.words.back().ends_with("x2")) {
    return lanewise_with<Options, In...>(i, [](const Options& options, In... in) {
      const auto one = [&](uint64_t a, uint64_t b, uint64_t c = 0) {
        return uint32_t{half_result<F, T>(options, a, b, c)};
      };
      return one(in...) | one(in >> 16 ...) << 16;
    });
  }
  return lanewise_with<Options, In...>(i, [](const Options& options, In... in) {
    const auto one = [&](uint64_t a, uint64_t b, uint64_t c = 0) {
      return half_result<F, T>(options, a, b, c);
    };
    return one(in...);
  });
}

template <class T>
Execute find_half(const Instruction& i) {
  using Bits = uint32_t;
  const std::string& name = i.words[0];
  if (!only(i, {"rn", "ftz", "sat", "relu"})) return nullptr;
  if (name == "add") return half_rounded<HalfAdd, T, Bits, Bits>(i);
  if (name == "sub") return half_rounded<HalfSubtract, T, Bits, Bits>(i);
  if (name == "mul") return half_rounded<HalfMultiply, T, Bits, Bits>(i);
  if (name == "fma") return half_rounded<HalfFuse, T, Bits, Bits, Bits>(i);
  return nullptr;
}

template <class T, bool greatest>
Execute find_half_choice(const Instruction& i) {
  if (!only(i, {"NaN", "xorsign", "abs"}) || i.has("xorsign") != i.has("abs")) return nullptr;
  static constexpr auto kOne = [](const Options& options, uint32_t a, uint32_t b) {
    return uint32_t{
        small<T>(chosen_with<greatest>(options, exact(as<T>(a)), exact(as<T>(b)))).bits};
  };
  if (i.words.back().ends_with("x2")) {
    return lanewise_with<Options, uint32_t, uint32_t>(
        i, [](const Options& options, uint32_t a, uint32_t b) {
          return kOne(options, a, b) | kOne(options, a >> 16, b >> 16) << 16;
        });
  }
  return lanewise_with<Options, uint32_t, uint32_t>(i, kOne);
}

template <class T>
Execute find_any_half(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "min") return find_half_choice<T, false>(i);
  if (name == "max") return find_half_choice<T, true>(i);
  if (i.words.size() == 2 && name == "neg") {
    return lanewise<uint32_t>(i, [](uint32_t a) { return a ^ 0x80008000u; });
  }
  if (i.words.size() == 2 && name == "abs") {
    return lanewise<uint32_t>(i, [](uint32_t a) { return a & 0x7fff7fffu; });
  }
  return find_half<T>(i);
}

}  // namespace

Execute find_float(const Instruction& i) {
  const std::string &name = i.words[0], &type = i.words.back();
  if (i.words.size() < 2) return nullptr;
  if (type == "f16" || type == "f16x2") return find_any_half<Half>(i);
  if (type == "bf16" || type == "bf16x2") return find_any_half<Brain>(i);
  if (name == "min") return find_choice<false>(i);
  if (name == "max") return find_choice<true>(i);
  if (name == "neg" || name == "abs" || name == "copysign") return find_sign(i);
  return find_rounded(i);
}

}  // namespace ptx
