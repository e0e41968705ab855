// Integer arithmetic, carries included. All of it is done without a sign, where overflow wraps.
#include "arithmetic.h"

namespace ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
__extension__ using Int128 = __int128;
__extension__ using Unsigned128 = unsigned __int128;
template <class T>
constexpr int kBits = 8 * sizeof(T);

// The whole product.
template <class T>
Unsigned128 product(T a, T b) {
  using Whole = std::conditional_t<std::is_signed_v<T>, Int128, Unsigned128>;
  return static_cast<Unsigned128>(static_cast<Whole>(a) * static_cast<Whole>(b));
}

template <class T>
T low(T a, T b) {
  return static_cast<T>(product(a, b));
}
template <class T>
T high(T a, T b) {
  return static_cast<T>(product(a, b) >> kBits<T>);
}
template <class T>
T sum(T a, T b) {
  return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
template <class T>
T difference(T a, T b) {
  return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

int32_t saturated(int64_t value) {
  return static_cast<int32_t>(std::clamp<int64_t>(value, INT32_MIN, INT32_MAX));
}

// By zero: what the ISA leaves to the machine is all ones here.
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return difference(T{0}, a);
  return static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return static_cast<T>(a % b);
}

// mul and mad: .lo, .hi and .wide.
Execute find_product(const Instruction& i) {
  if (i.words.size() < 3) return nullptr;
  const std::string &name = i.words[0], &half = i.words[1], &type = i.words.back();
  if (name == "mad" && type == "s32" && half == "hi" && only(i, {"hi", "sat"}) && i.has("sat")) {
    return lanewise<int32_t, int32_t, int32_t>(
        i, [](int32_t a, int32_t b, int32_t c) { return saturated(int64_t{high(a, b)} + c); });
  }
  if (i.words.size() != 3) return nullptr;
  return by_integer(type, [&]<class T>() -> Execute {
    if (half == "lo" && name == "mul") {
      return lanewise<T, T>(i, [](T a, T b) { return low(a, b); });
    }
    if (half == "hi" && name == "mul") {
      return lanewise<T, T>(i, [](T a, T b) { return high(a, b); });
    }
    if (half == "lo") {
      return lanewise<T, T, T>(i, [](T a, T b, T c) { return sum(low(a, b), c); });
    }
    if (half == "hi") {
      return lanewise<T, T, T>(i, [](T a, T b, T c) { return sum(high(a, b), c); });
    }
    if constexpr (sizeof(T) < 8) {
      using Signed = std::conditional_t<sizeof(T) == 2, int32_t, int64_t>;
      using Wide = std::conditional_t<std::is_signed_v<T>, Signed, Unsigned<Signed>>;
      if (half == "wide" && name == "mul") {
        return lanewise<T, T>(i, [](T a, T b) { return static_cast<Wide>(product(a, b)); });
      }
      if (half == "wide") {
        return lanewise<T, T, Wide>(
            i, [](T a, T b, Wide c) { return sum(static_cast<Wide>(product(a, b)), c); });
      }
    }
    return nullptr;
  });
}

Execute find_sum(const Instruction& i) {
  const std::string &name = i.words[0], &type = i.words.back();
  if (type == "s32" && i.words.size() == 3 && i.words[1] == "sat") {
    if (name == "add") {
      return lanewise<int32_t, int32_t>(
          i, [](int32_t a, int32_t b) { return saturated(int64_t{a} + b); });
    }
    return lanewise<int32_t, int32_t>(
        i, [](int32_t a, int32_t b) { return saturated(int64_t{a} - b); });
  }
  if (i.words.size() != 2) return nullptr;
  return by_integer(type, [&]<class T>() {
    if (name == "add") return lanewise<T, T>(i, [](T a, T b) { return sum(a, b); });
    return lanewise<T, T>(i, [](T a, T b) { return difference(a, b); });
  });
}

// The condition code goes in and out by the reference; .cc keeps what came out.
template <class... In, class F, size_t... I>
void each_carry(Warp& warp, const Instruction& instruction, Lanes lanes, F f,
                std::index_sequence<I...>) {
  const Source sources[] = {Source(warp, instruction.operands[I + 1])...};
  const bool keeps = instruction.has("cc");
  for_lanes(lanes, [&](int lane) {
    const Lanes bit = lane_bit(lane);
    bool carry = (warp.carry & bit) != 0;
    const auto result = f(carry, as<In>(sources[I][lane])...);
    if (keeps) warp.carry = carry ? warp.carry | bit : warp.carry & ~bit;
    warp.set(instruction.operands[0], lane, bits_of(result));
  });
}

template <class... In, class F>
Execute carrying(const Instruction& instruction, F) {
  if (!are_scalars(instruction, sizeof...(In))) return nullptr;
  return [](Warp& warp, const Instruction& running, Lanes lanes) {
    each_carry<In...>(warp, running, lanes, F{}, std::index_sequence_for<In...>{});
    return Outcome::kDone;
  };
}

template <class T>
T carried_sum(bool& carry, T a, T b) {
  const Unsigned128 whole = Unsigned128{Unsigned<T>(a)} + Unsigned<T>(b) + carry;
  carry = (whole >> kBits<T>) != 0;
  return static_cast<T>(whole);
}
template <class T>
T borrowed_difference(bool& borrow, T a, T b) {
  const Unsigned128 taken = Unsigned128{Unsigned<T>(b)} + borrow, whole = Unsigned<T>(a);
  borrow = whole < taken;
  return static_cast<T>(whole - taken);
}

}  // namespace

Execute find_carry(const Instruction& i) {
  const std::string& name = i.words[0];
  const bool with = name.back() == 'c';  // addc, subc, madc; sub.cc has a word more
  const bool product_first = name.starts_with("mad");
  if (name != "add" && name != "addc" && name != "sub" && name != "subc" && !product_first) {
    return nullptr;
  }
  if ((!with && !i.has("cc")) || !only(i, {"lo", "hi", "cc"})) return nullptr;
  if (i.words.size() != (i.has("cc") ? 3u : 2u) + (product_first ? 1u : 0u)) return nullptr;
  return by_type<int32_t, uint32_t, int64_t, uint64_t>(i.words.back(), [&]<class T>() -> Execute {
    if (name == "add") {
      return carrying<T, T>(i, [](bool& c, T a, T b) { return carried_sum(c = false, a, b); });
    }
    if (name == "addc") {
      return carrying<T, T>(i, [](bool& c, T a, T b) { return carried_sum(c, a, b); });
    }
    if (name == "sub") {
      return carrying<T, T>(i,
                            [](bool& c, T a, T b) { return borrowed_difference(c = false, a, b); });
    }
    if (name == "subc") {
      return carrying<T, T>(i, [](bool& c, T a, T b) { return borrowed_difference(c, a, b); });
    }
    const bool lower = i.words[1] == "lo";
    if (!lower && i.words[1] != "hi") return nullptr;
    if (name == "mad" && lower) {
      return carrying<T, T, T>(
          i, [](bool& c, T a, T b, T add) { return carried_sum(c = false, low(a, b), add); });
    }
    if (name == "mad") {
      return carrying<T, T, T>(
          i, [](bool& c, T a, T b, T add) { return carried_sum(c = false, high(a, b), add); });
    }
    if (lower) {
      return carrying<T, T, T>(
          i, [](bool& c, T a, T b, T add) { return carried_sum(c, low(a, b), add); });
    }
    return carrying<T, T, T>(
        i, [](bool& c, T a, T b, T add) { return carried_sum(c, high(a, b), add); });
  });
}

Execute find_integer(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "mul" || name == "mad") return find_product(i);
  if (name == "add" || name == "sub") return find_sum(i);
  if (i.words.size() != 2) return nullptr;
  return by_integer(i.words.back(), [&]<class T>() -> Execute {
    if (name == "div") return lanewise<T, T>(i, [](T a, T b) { return quotient(a, b); });
    if (name == "rem") return lanewise<T, T>(i, [](T a, T b) { return remainder(a, b); });
    if (name == "min") return lanewise<T, T>(i, [](T a, T b) { return std::min(a, b); });
    if (name == "max") return lanewise<T, T>(i, [](T a, T b) { return std::max(a, b); });
    if (name == "sad") {
      return lanewise<T, T, T>(
          i, [](T a, T b, T c) { return sum(c, a < b ? difference(b, a) : difference(a, b)); });
    }
    if constexpr (std::is_signed_v<T>) {
      if (name == "neg") return lanewise<T>(i, [](T a) { return difference(T{0}, a); });
      if (name == "abs") {
        return lanewise<T>(i, [](T a) { return a < 0 ? difference(T{0}, a) : a; });
      }
    }
    return nullptr;
  });
}

}  // namespace ptx
