#include "arithmetic.h"

namespace ptx {
namespace {

template <SmallFloat T>
double exact_of(T value) {
  constexpr int kBias = (1 << (T::kExponentBits - 1)) - 1, kMantissa = T::kMantissaBits;
  constexpr int kHighest = (1 << T::kExponentBits) - 1;
  const int exponent = value.bits >> kMantissa & kHighest;
  const uint64_t mantissa = value.bits & ((1 << kMantissa) - 1);
  double magnitude =
      std::bit_cast<double>(uint64_t(exponent - kBias + 1023) << 52 | mantissa << (52 - kMantissa));
  if (exponent == 0) {  // in units of the least one, a power of two
    const uint64_t unit = uint64_t{1 - kBias - kMantissa + 1023} << 52;
    magnitude = static_cast<double>(mantissa) * std::bit_cast<double>(unit);
  }
  if (exponent == kHighest) magnitude = mantissa == 0 ? INFINITY : NAN;
  return value.bits >> 15 ? -magnitude : magnitude;
}

}  // namespace

double to_integer(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
      return std::nearbyint(value);
    case Rounding::kZero:
      return std::trunc(value);
    case Rounding::kDown:
      return std::floor(value);
    default:
      return std::ceil(value);
  }
}

double exact(Half value) { return exact_of(value); }
double exact(Brain value) { return exact_of(value); }

template <SmallFloat T>
T small(double value, Rounding rounding) {
  constexpr int kBias = (1 << (T::kExponentBits - 1)) - 1, kMantissa = T::kMantissaBits;
  constexpr int kInfinity = ((1 << T::kExponentBits) - 1) << kMantissa;
  if (value != value) return {0x7fff};
  const int sign = std::signbit(value) ? 0x8000 : 0;
  const auto made = [&](int bits) { return T{static_cast<uint16_t>(sign | bits)}; };
  if (value == 0) return made(0);
  if (std::isinf(value)) return made(kInfinity);
  const int quantum = std::max(std::ilogb(value), 1 - kBias) - kMantissa;
  const double units = std::fabs(to_integer(std::ldexp(value, -quantum), rounding));
  // Units that carry into the next power of two carry into the exponent.
  const int bits = ((quantum + kMantissa + kBias - 1) << kMantissa) + static_cast<int>(units);
  if (quantum + kMantissa <= kBias && bits < kInfinity) return made(bits);
  const bool to_infinity = rounding == Rounding::kNearest ||
                           (rounding == Rounding::kUp && sign == 0) ||
                           (rounding == Rounding::kDown && sign != 0);
  return made(to_infinity ? kInfinity : kInfinity - 1);
}
template Half small<Half>(double, Rounding);
template Brain small<Brain>(double, Rounding);

double sum_to_odd(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum)) return sum;
  const double from_b = sum - a, error = (a - (sum - from_b)) + (b - from_b);
  if (error == 0 || (std::bit_cast<uint64_t>(sum) & 1) != 0) return sum;
  return std::nextafter(sum, error > 0 ? INFINITY : -INFINITY);
}

bool are_scalars(const Instruction& instruction, size_t count) {
  const auto& operands = instruction.operands;
  if (operands.size() != count + 1) return false;
  if (operands[0].kind != Operand::kRegister && operands[0].kind != Operand::kNothing) return false;
  return std::all_of(operands.begin() + 1, operands.end(), [](const Operand& operand) {
    return operand.kind >= Operand::kRegister && operand.kind <= Operand::kShared;
  });
}

bool only(const Instruction& instruction, std::initializer_list<const char*> words, int types) {
  const auto& all = instruction.words;
  if (all.size() < 1 + static_cast<size_t>(types)) return false;
  return std::all_of(all.begin() + 1, all.end() - types, [&](const std::string& word) {
    return std::any_of(words.begin(), words.end(), [&](const char* one) { return word == one; });
  });
}

Execute find_arithmetic(Instruction& instruction) {
  for (const auto find : {find_integer, find_carry, find_bits, find_float, find_approximate,
                          find_convert, find_compare, find_move}) {
    if (const Execute found = find(instruction)) return found;
  }
  return nullptr;
}

}  // namespace ptx
