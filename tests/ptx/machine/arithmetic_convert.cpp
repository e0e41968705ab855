// cvt.
#include "arithmetic.h"

namespace ptx {
namespace {

struct Options {
  Rounding rounding = Rounding::kNearest;
  int roundings = 0;
  bool to_integer = false, ftz = false, sat = false, relu = false;
  explicit Options(const Instruction& from) {
    for (size_t i = 1; i + 2 < from.words.size(); ++i) {
      const std::string& word = from.words[i];
      if (word == "ftz") {
        ftz = true;
      } else if (word == "sat") {
        sat = true;
      } else if (word == "relu") {
        relu = true;
      } else if (word.size() > 1) {  // rn, rzi
        ++roundings;
        to_integer = word.size() == 3;
        if (word[1] == 'z') rounding = Rounding::kZero;
        if (word[1] == 'm') rounding = Rounding::kDown;
        if (word[1] == 'p') rounding = Rounding::kUp;
      }
    }
  }
};

// The nearest To, and from there to its neighbour where it lies on the wrong side. Exact has all
// values of what is converted and those of To.
template <class To, class Exact>
To rounded(Exact value, Rounding rounding) {
  const To result = static_cast<To>(value);
  const Exact found = static_cast<Exact>(result);
  const To infinity = std::numeric_limits<To>::infinity();
  switch (rounding) {
    case Rounding::kZero:
      return std::fabs(found) > std::fabs(value) ? std::nextafter(result, To{0}) : result;
    case Rounding::kDown:
      return found > value ? std::nextafter(result, -infinity) : result;
    case Rounding::kUp:
      return found < value ? std::nextafter(result, infinity) : result;
    default:
      return result;
  }
}

// A double that another rounding makes the right small float of.
double to_odd(long double value) {
  const double result = static_cast<double>(value);
  if (result == value || (std::bit_cast<uint64_t>(result) & 1) != 0) return result;
  return std::nextafter(result, value > result ? INFINITY : -INFINITY);
}

template <AnyFloat To>
To limited(const Options& options, To result) {
  if constexpr (SmallFloat<To>) {
    const double value = exact(result);
    if (options.sat) return small<To>(value > 0 ? std::min(value, 1.0) : 0);
    return options.relu && value < 0 ? To{0} : result;
  } else {
    if (std::same_as<To, float> && options.ftz) result = flushed(result);
    if (options.sat) return result > 0 ? std::min(result, To{1}) : To{0};
    return canonical(result);
  }
}

template <AnyFloat To, AnyInteger From>
To float_of(const Options& options, From value) {
  if constexpr (SmallFloat<To>) {
    return limited(options, small<To>(to_odd(static_cast<long double>(value)), options.rounding));
  } else {
    return limited(options, rounded<To>(static_cast<long double>(value), options.rounding));
  }
}

template <AnyFloat To, AnyFloat From>
To float_of(const Options& options, From from) {
  double value = exact(from);
  if (std::same_as<From, float> && options.ftz) value = flushed(static_cast<float>(value));
  if (options.to_integer) value = std::copysign(to_integer(value, options.rounding), value);
  if constexpr (SmallFloat<To>) {
    return limited(options, small<To>(value, options.rounding));
  } else {
    return limited(options, rounded<To>(value, options.rounding));
  }
}

template <AnyInteger To, AnyInteger From>
To integer_of(const Options& options, From value) {
  if (!options.sat) return static_cast<To>(value);
  if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  const To most = std::numeric_limits<To>::max();
  return std::cmp_greater(value, most) ? most : static_cast<To>(value);
}

template <AnyInteger To, AnyFloat From>
To integer_of(const Options& options, From from) {
  double value = exact(from);
  if (value != value) {
    const bool zero = !std::same_as<From, double> && sizeof(To) < 8;
    return static_cast<To>(zero ? 0 : uint64_t{1} << (8 * sizeof(To) - 1));
  }
  if (std::same_as<From, float> && options.ftz) value = flushed(static_cast<float>(value));
  value = to_integer(value, options.rounding);
  const double end = std::ldexp(1, std::numeric_limits<To>::digits);
  if (value >= end) return std::numeric_limits<To>::max();
  if (value < (std::is_signed_v<To> ? -end : 0)) return std::numeric_limits<To>::min();
  return static_cast<To>(value);
}

// Integers round floats, floats round where they cannot hold all there is, and nothing else does.
template <class To, class From>
bool may_round(const Options& options) {
  const bool rounds = options.roundings == 1;
  if (options.roundings > 1) return false;
  if constexpr (AnyInteger<To> && AnyInteger<From>) return !rounds;
  if constexpr (AnyInteger<To> && AnyFloat<From>) return options.to_integer && rounds;
  if constexpr (AnyFloat<To> && AnyInteger<From>) return !options.to_integer && rounds;
  if constexpr (AnyFloat<To> && AnyFloat<From>) {
    if (std::same_as<To, From>) return options.to_integer == rounds;
    return !options.to_integer && rounds == (sizeof(To) <= sizeof(From));
  }
}

template <class To, class From>
Execute conversion(const Instruction& i) {
  const Options options(i);
  if (!may_round<To, From>(options)) return nullptr;
  if (options.ftz && !std::same_as<To, float> && !std::same_as<From, float>) return nullptr;
  if (options.relu && !SmallFloat<To>) return nullptr;
  if constexpr (std::floating_point<To> && AnyFloat<From>) {
    if (i.words.size() == 3) {  // from a narrower one
      return lanewise<From>(i, [](From from) { return canonical(static_cast<To>(exact(from))); });
    }
  }
  return lanewise_with<Options, From>(i, [](const Options& with, From value) {
    if constexpr (AnyInteger<To>) return integer_of<To>(with, value);
    if constexpr (AnyFloat<To>) return float_of<To>(with, value);
  });
}

template <class Make>
Execute by_any(const std::string& word, Make make) {
  return by_type<int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t, Half,
                 Brain, float, double>(word, make);
}

// Two floats in one register, the first in its upper half.
template <SmallFloat To>
Execute packed(const Instruction& i) {
  const Options options(i);
  if (options.roundings != 1 || options.to_integer || options.sat || options.ftz) return nullptr;
  return lanewise_with<Options, float, float>(i, [](const Options& with, float high, float low) {
    return uint32_t{float_of<To>(with, high).bits} << 16 | float_of<To>(with, low).bits;
  });
}

// The nearest of 10 bits, away from zero between two.
uint32_t to_tf32(float value) {
  if (!std::isfinite(value)) return std::bit_cast<uint32_t>(canonical(value));
  return (std::bit_cast<uint32_t>(value) + 0x1000u) & 0xffffe000u;
}

}  // namespace

Execute find_convert(const Instruction& i) {
  if (i.words[0] != "cvt" || i.words.size() < 3) return nullptr;
  const std::string &to = *(i.words.end() - 2), &from = i.words.back();
  if (to == "tf32" && from == "f32" && i.words.size() == 4 && i.words[1] == "rna") {
    return lanewise<float>(i, [](float a) { return to_tf32(a); });
  }
  if (!only(i, {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "ftz", "sat", "relu"}, 2)) {
    return nullptr;
  }
  if (to == "f16x2" && from == "f32") return packed<Half>(i);
  if (to == "bf16x2" && from == "f32") return packed<Brain>(i);
  return by_any(to, [&]<class To>() {
    return by_any(from, [&]<class From>() { return conversion<To, From>(i); });
  });
}

}  // namespace ptx
