// What the families of arithmetic share: types by their names, and a function for each lane.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "lanes.h"

namespace ptx {

Execute find_integer(const Instruction&);      // add, mul, div, min, ... of integers
Execute find_carry(const Instruction&);        // add.cc, subc, madc, ...
Execute find_bits(const Instruction&);         // and, shl, shf, lop3, popc, bfe, prmt, ...
Execute find_float(const Instruction&);        // add, fma, div.rn, min, copysign, ...
Execute find_approximate(const Instruction&);  // rcp.approx, ex2, sin, div.full, ...
Execute find_convert(const Instruction&);      // cvt
Execute find_compare(const Instruction&);      // setp, set, testp
Execute find_move(const Instruction&);         // mov, selp, slct

// Floats without a type of C++: their bits, which a double holds exactly.
template <int exponent_bits, int mantissa_bits>
struct Small {
  static constexpr int kExponentBits = exponent_bits, kMantissaBits = mantissa_bits;
  uint16_t bits;
};
using Half = Small<5, 10>;
using Brain = Small<8, 7>;

template <class T>
concept AnyInteger = std::integral<T> && !std::same_as<T, bool>;
template <class T>
concept SmallFloat = std::same_as<T, Half> || std::same_as<T, Brain>;
template <class T>
concept AnyFloat = std::floating_point<T> || SmallFloat<T>;

// The low bits of a register as a type.
template <class T>
T as(uint64_t bits) {
  if constexpr (std::same_as<T, bool>) return bits != 0;
  if constexpr (AnyInteger<T>) return static_cast<T>(bits);
  if constexpr (std::same_as<T, float>) return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if constexpr (std::same_as<T, double>) return std::bit_cast<double>(bits);
  if constexpr (SmallFloat<T>) return T{static_cast<uint16_t>(bits)};
}

// As a register holds it: extended by its sign where it has one.
template <class T>
uint64_t bits_of(T value) {
  if constexpr (std::same_as<T, bool>) return value ? 1 : 0;
  if constexpr (AnyInteger<T>) return static_cast<uint64_t>(value);
  if constexpr (std::same_as<T, float>) return std::bit_cast<uint32_t>(value);
  if constexpr (std::same_as<T, double>) return std::bit_cast<uint64_t>(value);
  if constexpr (SmallFloat<T>) return value.bits;
}

double exact(Half value);
double exact(Brain value);
inline double exact(double value) { return value; }

enum class Rounding : uint8_t { kNearest, kZero, kDown, kUp };
double to_integer(double value, Rounding rounding);
// NaN becomes the canonical one.
template <SmallFloat T>
T small(double value, Rounding rounding = Rounding::kNearest);

// The low bit says whether the sum was inexact, so that another rounding of it to at most 50 bits
// is as if there had been no first one.
double sum_to_odd(double a, double b);

// Single precision has one NaN here; the ISA leaves open which.
inline constexpr uint32_t kNan = 0x7fffffff;
inline float canonical(float value) { return value != value ? std::bit_cast<float>(kNan) : value; }
inline double canonical(double value) { return value; }

template <class T>
T flushed(T value) {  // subnormal numbers to zero, with their sign
  const T magnitude = value < 0 ? -value : value;
  return magnitude < std::numeric_limits<T>::min() ? std::copysign(T{0}, value) : value;
}

// The 32 values of an operand.
class Source {
 public:
  Source(Warp& warp, const Operand& operand) {
    if (operand.kind == Operand::kRegister && !operand.negated) {
      values_ = &warp.at(operand.slot, 0);
      return;
    }
    if (operand.kind == Operand::kConstant) {
      std::fill_n(copy_, kLanes, operand.bits);
    } else {
      for (int lane = 0; lane < kLanes; ++lane) copy_[lane] = warp.value(operand, lane);
    }
    values_ = copy_;
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  uint64_t operator[](int lane) const { return values_[lane]; }

 private:
  const uint64_t* values_;  // the lanes of a register follow one another
  uint64_t copy_[kLanes];
};

template <class... In, class F, size_t... I>
void each_lane(Warp& warp, const Instruction& instruction, Lanes lanes, F f,
               std::index_sequence<I...>) {
  const Operand& to = instruction.operands[0];
  if (to.kind != Operand::kRegister) return;
  const Source sources[] = {Source(warp, instruction.operands[I + 1])...};
  uint64_t* const results = &warp.at(to.slot, 0);
  for_lanes(lanes, [&](int lane) { results[lane] = bits_of(f(as<In>(sources[I][lane])...)); });
}

// A destination, and count sources that have one value each.
bool are_scalars(const Instruction& instruction, size_t count);

// f of the sources' values in each lane.
template <class... In, class F>
Execute lanewise(const Instruction& instruction, F) {
  if (!are_scalars(instruction, sizeof...(In))) return nullptr;
  return [](Warp& warp, const Instruction& running, Lanes lanes) {
    each_lane<In...>(warp, running, lanes, F{}, std::index_sequence_for<In...>{});
    return Outcome::kDone;
  };
}

// The same where f needs what the words say: options is made of the instruction first.
template <class Options, class... In, class F>
Execute lanewise_with(const Instruction& instruction, F) {
  if (!are_scalars(instruction, sizeof...(In))) return nullptr;
  return [](Warp& warp, const Instruction& running, Lanes lanes) {
    const Options options(running);
    each_lane<In...>(
        warp, running, lanes, [&](In... in) { return F{}(options, in...); },
        std::index_sequence_for<In...>{});
    return Outcome::kDone;
  };
}

template <class T>
bool is_named(const std::string& word) {
  if constexpr (std::same_as<T, bool>) return word == "pred";
  if constexpr (std::same_as<T, float>) return word == "f32";
  if constexpr (std::same_as<T, double>) return word == "f64";
  if constexpr (std::same_as<T, Half>) return word == "f16";
  if constexpr (std::same_as<T, Brain>) return word == "bf16";
  if constexpr (AnyInteger<T>) {
    const char first = word.empty() ? ' ' : word[0];
    const bool fits = std::is_signed_v<T> ? first == 's' : first == 'u' || first == 'b';
    return fits && word.substr(1) == std::to_string(8 * sizeof(T));
  }
}

// make.operator()<T>() for the type of that name; null for others.
template <class... Types, class Make>
Execute by_type(const std::string& word, Make make) {
  Execute found = nullptr;
  ((is_named<Types>(word) && (found = make.template operator()<Types>(), true)) || ...);
  return found;
}

template <class Make>
Execute by_integer(const std::string& word, Make make) {
  return by_type<int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t>(word, make);
}

// Whether the words between the first and the last types are all among these.
bool only(const Instruction& instruction, std::initializer_list<const char*> words, int types = 1);

}  // namespace ptx
