// Approximations: as far from the truth as the ISA allows, or nearly, so that code which relies on
// more is seen. The error is a function of the argument's bits.
#include "arithmetic.h"

namespace ptx {
namespace {

// In [-1, 1].
double noise(uint64_t bits) {
  bits ^= bits >> 29;
  bits *= 0x9e3779b97f4a7c15ull;
  bits ^= bits >> 32;
  return static_cast<double>(static_cast<int64_t>(bits * 0xd1342543de82ef95ull)) * 0x1p-63;
}

bool is_special(double value) { return value == 0 || !std::isfinite(value); }

// The nearest float of something less than error away, relatively.
float about(double value, double error, float argument) {
  if (is_special(value)) return canonical(static_cast<float>(value));
  return static_cast<float>(value * (1 + error * noise(std::bit_cast<uint32_t>(argument))));
}

float near(double value, double error, float argument) {  // absolutely
  if (is_special(value)) return canonical(static_cast<float>(value));
  return static_cast<float>(value + error * noise(std::bit_cast<uint32_t>(argument)));
}

struct Options {
  bool ftz;
  explicit Options(const Instruction& from) : ftz(from.has("ftz")) {}
  float operator()(float value) const { return ftz ? flushed(value) : value; }
};

// name.approx{.ftz}.f32 of one value.
template <class F>
Execute approximate(const Instruction& i, F) {
  return lanewise_with<Options, float>(
      i, [](const Options& flush, float a) { return canonical(flush(F{}(flush(a)))); });
}

Execute find_single(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "rcp") {
    return approximate(i, [](float a) { return about(1 / double{a}, 0x1p-24, a); });
  }
  if (name == "sqrt") {
    return approximate(i, [](float a) { return about(std::sqrt(double{a}), 0x1p-24, a); });
  }
  if (name == "rsqrt") {
    return approximate(i, [](float a) { return about(1 / std::sqrt(double{a}), 0x1p-24, a); });
  }
  if (name == "sin") {
    return approximate(i, [](float a) {
      return std::fabs(a) < 1e-3f ? about(std::sin(a), 0x1p-22, a)
                                  : near(std::sin(double{a}), 0x1p-22, a);
    });
  }
  if (name == "cos") {
    return approximate(
        i, [](float a) { return a == 0 ? 1.0f : near(std::cos(double{a}), 0x1p-22, a); });
  }
  if (name == "lg2") {
    return approximate(i, [](float a) {
      const double exact = std::log2(double{a});
      return std::fabs(exact) < 1 ? near(exact, 0x1p-24, a) : about(exact, 0x1p-24, a);
    });
  }
  if (name == "ex2") {  // CUDA's own functions rely on exact powers of integers
    return approximate(
        i, [](float a) { return about(std::exp2(double{a}), a == std::rint(a) ? 0 : 0x1p-24, a); });
  }
  if (name == "tanh" && !i.has("ftz")) {
    return approximate(i, [](float a) {
      const bool exact = std::fpclassify(a) == FP_SUBNORMAL || std::isinf(a);
      const float result = about(std::tanh(double{a}), exact ? 0 : 0x1p-12, a);
      return std::clamp(result, -1.0f, 1.0f);
    });
  }
  return nullptr;
}

float quotient(float a, float b, bool full) {
  if (!full && std::fabs(b) > 0x1p126f && std::isfinite(b)) {
    return std::isinf(a) ? NAN : std::copysign(0.0f, std::signbit(a) == std::signbit(b) ? 1 : -1);
  }
  return about(double{a} / b, 0x1p-24, b);
}

// Of the high words alone: the 20 bits below the true ones or above them. Its low word is zero.
uint64_t gross(uint64_t bits, double (*function)(double)) {
  constexpr uint64_t kHigh = 0xffffffff00000000ull, kUnit = uint64_t{1} << 32;
  const double value = function(flushed(std::bit_cast<double>(bits & kHigh)));
  if (value != value) return uint64_t{kNan} << 32;
  const double result = flushed(value);
  const uint64_t below = std::bit_cast<uint64_t>(result) & kHigh;
  return is_special(result) || noise(bits >> 32) < 0 ? below : below + kUnit;
}

double inverse(double value) { return 1 / value; }
double inverse_root(double value) { return 1 / std::sqrt(value); }

Execute find_double(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "rsqrt" && !i.has("ftz")) {
    return lanewise<double>(i, [](double a) { return 1 / std::sqrt(a); });
  }
  if (!i.has("ftz")) return nullptr;
  if (name == "rcp") return lanewise<uint64_t>(i, [](uint64_t a) { return gross(a, inverse); });
  if (name == "rsqrt") {
    return lanewise<uint64_t>(i, [](uint64_t a) { return gross(a, inverse_root); });
  }
  return nullptr;
}

}  // namespace

Execute find_approximate(const Instruction& i) {
  const bool approx = i.words.size() > 2 && i.words[1] == "approx";
  const bool full = i.words.size() > 2 && i.words[1] == "full";
  if ((!approx && !full) || !only(i, {"approx", "full", "ftz"})) return nullptr;
  if (i.words.back() == "f64" && approx) return find_double(i);
  if (i.words.back() != "f32") return nullptr;
  if (i.words[0] != "div") return approx ? find_single(i) : nullptr;
  // Both divide without subnormal numbers, whether they say so or not.
  if (full) {
    return lanewise<float, float>(i, [](float a, float b) {
      return canonical(flushed(quotient(flushed(a), flushed(b), true)));
    });
  }
  return lanewise<float, float>(i, [](float a, float b) {
    return canonical(flushed(quotient(flushed(a), flushed(b), false)));
  });
}

}  // namespace ptx
