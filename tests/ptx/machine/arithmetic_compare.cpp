// setp, set and testp.
#include "arithmetic.h"

namespace ptx {
namespace {

enum class Relation : uint8_t { kEqual, kNotEqual, kLess, kAtMost, kGreater, kAtLeast, kNumbers };

struct Comparison {
  const char* word;
  Relation relation;
  bool or_unordered;  // true where one of two floats is NaN
  enum : uint8_t { kAll, kUnsigned, kFloat } types;
};
constexpr Comparison kComparisons[] = {
    {"eq", Relation::kEqual, false, Comparison::kAll},
    {"ne", Relation::kNotEqual, false, Comparison::kAll},
    {"lt", Relation::kLess, false, Comparison::kAll},
    {"le", Relation::kAtMost, false, Comparison::kAll},
    {"gt", Relation::kGreater, false, Comparison::kAll},
    {"ge", Relation::kAtLeast, false, Comparison::kAll},
    {"lo", Relation::kLess, false, Comparison::kUnsigned},
    {"ls", Relation::kAtMost, false, Comparison::kUnsigned},
    {"hi", Relation::kGreater, false, Comparison::kUnsigned},
    {"hs", Relation::kAtLeast, false, Comparison::kUnsigned},
    {"equ", Relation::kEqual, true, Comparison::kFloat},
    {"neu", Relation::kNotEqual, true, Comparison::kFloat},
    {"ltu", Relation::kLess, true, Comparison::kFloat},
    {"leu", Relation::kAtMost, true, Comparison::kFloat},
    {"gtu", Relation::kGreater, true, Comparison::kFloat},
    {"geu", Relation::kAtLeast, true, Comparison::kFloat},
    {"num", Relation::kNumbers, false, Comparison::kFloat},
    {"nan", Relation::kNumbers, true, Comparison::kFloat},
};

const Comparison* comparison(const std::string& word) {
  for (const auto& one : kComparisons) {
    if (word == one.word) return &one;
  }
  return nullptr;
}

template <class T>
bool holds(Relation relation, bool or_unordered, T a, T b) {
  if constexpr (SmallFloat<T>) {
    return holds(relation, or_unordered, exact(a), exact(b));
  } else {
    const bool unordered = a != a || b != b;
    switch (relation) {
      case Relation::kEqual:
        return a == b || (or_unordered && unordered);
      case Relation::kNotEqual:
        return a < b || a > b || (or_unordered && unordered);
      case Relation::kLess:
        return or_unordered ? !(a >= b) : a < b;
      case Relation::kAtMost:
        return or_unordered ? !(a > b) : a <= b;
      case Relation::kGreater:
        return or_unordered ? !(a <= b) : a > b;
      case Relation::kAtLeast:
        return or_unordered ? !(a < b) : a >= b;
      default:  // num, nan
        return unordered == or_unordered;
    }
  }
}

// The common form: one predicate from one comparison that is known when this is compiled.
template <class T, size_t index = 0>
Execute plain(const Instruction& i, const Comparison* which) {
  if constexpr (index == std::size(kComparisons)) {
    return nullptr;
  } else {
    static constexpr Comparison kOne = kComparisons[index];
    constexpr bool kFits = kOne.types == Comparison::kAll ||
                           (kOne.types == Comparison::kFloat && AnyFloat<T>) ||
                           (kOne.types == Comparison::kUnsigned && std::unsigned_integral<T>);
    if constexpr (kFits) {
      if (which == &kComparisons[index]) {
        return lanewise<T, T>(
            i, [](T a, T b) { return holds(kOne.relation, kOne.or_unordered, a, b); });
      }
    }
    return plain<T, index + 1>(i, which);
  }
}

struct Options {
  const Comparison* which;
  bool ftz, with_and, with_or, with_xor;
  explicit Options(const Instruction& from)
      : which(comparison(from.words[1])),
        ftz(from.has("ftz")),
        with_and(from.has("and")),
        with_or(from.has("or")),
        with_xor(from.has("xor")) {}
  bool combines() const { return with_and || with_or || with_xor; }
  bool combined(bool result, bool other) const {
    if (with_and) return result && other;
    if (with_or) return result || other;
    return with_xor ? result != other : result;
  }
  template <class T>
  bool compared(T a, T b) const {
    if constexpr (std::same_as<T, float>) {
      if (ftz) a = flushed(a), b = flushed(b);
    }
    return holds(which->relation, which->or_unordered, a, b);
  }
};

// f(lane, the comparison's result, the predicate it is combined with)
template <class T, class F>
void for_comparisons(Warp& warp, const Instruction& i, Lanes lanes, const Options& options, F f) {
  const Source a(warp, i.operands[1]), b(warp, i.operands[2]);
  const Source other(warp, i.operands.back());
  for_lanes(lanes, [&](int lane) {
    f(lane, options.compared(as<T>(a[lane]), as<T>(b[lane])), other[lane] != 0);
  });
}

template <class T>
Outcome set_predicates(Warp& warp, const Instruction& i, Lanes lanes) {
  const Options options(i);
  const Operand& to = i.operands[0];
  const bool pair = to.kind == Operand::kPair;
  for_comparisons<T>(warp, i, lanes, options, [&](int lane, bool result, bool other) {
    warp.set(pair ? to.parts[0] : to, lane, options.combined(result, other));
    if (pair) warp.set(to.parts[1], lane, options.combined(!result, other));
  });
  return Outcome::kDone;
}

template <class T>
Outcome set_values(Warp& warp, const Instruction& i, Lanes lanes) {
  const Options options(i);
  const std::string& type = *(i.words.end() - 2);
  const uint64_t yes = type == "f32" ? 0x3f800000 : type == "f16" ? 0x3c00 : 0xffffffff;
  for_comparisons<T>(warp, i, lanes, options, [&](int lane, bool result, bool other) {
    warp.set(i.operands[0], lane, options.combined(result, other) ? yes : 0);
  });
  return Outcome::kDone;
}

template <class Make>
Execute by_number(const std::string& word, Make make) {
  return by_type<int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t, Half, float, double>(
      word, make);
}

// Whether the words and operands of set and setp are all there, and no others.
template <class T>
bool compares(const Instruction& i, int types) {
  if (!only(i, {i.words[1].c_str(), "and", "or", "xor", "ftz"}, types)) return false;
  const Options options(i);
  if (options.ftz && !std::same_as<T, float>) return false;
  if (options.which->types == Comparison::kFloat && !AnyFloat<T>) return false;
  if (options.which->types == Comparison::kUnsigned && !std::unsigned_integral<T>) return false;
  const size_t words = 2 + types + options.ftz + options.combines();
  return i.words.size() == words && i.operands.size() == (options.combines() ? 4u : 3u);
}

Execute find_comparison(const Instruction& i) {
  if (i.words.size() < 3 || comparison(i.words[1]) == nullptr) return nullptr;
  const bool predicates = i.words[0] == "setp";
  return by_number(i.words.back(), [&]<class T>() -> Execute {
    if (!compares<T>(i, predicates ? 1 : 2)) return nullptr;
    if (predicates && i.words.size() == 3 && i.operands[0].kind == Operand::kRegister) {
      return plain<T>(i, comparison(i.words[1]));
    }
    if (predicates) return set_predicates<T>;
    for (const char* type : {"u32", "s32", "f32", "u16", "s16", "f16"}) {
      if (*(i.words.end() - 2) == type) return set_values<T>;
    }
    return nullptr;
  });
}

Execute find_property(const Instruction& i) {
  if (i.words.size() != 3) return nullptr;
  const std::string& property = i.words[1];
  return by_type<float, double>(i.words[2], [&]<class T>() -> Execute {
    if (property == "finite") return lanewise<T>(i, [](T a) { return std::isfinite(a); });
    if (property == "infinite") return lanewise<T>(i, [](T a) { return std::isinf(a); });
    if (property == "number") return lanewise<T>(i, [](T a) { return a == a; });
    if (property == "notanumber") return lanewise<T>(i, [](T a) { return a != a; });
    if (property == "normal") {
      return lanewise<T>(i, [](T a) { return a == 0 || std::isnormal(a); });
    }
    if (property == "subnormal") {
      return lanewise<T>(i, [](T a) { return std::fpclassify(a) == FP_SUBNORMAL; });
    }
    return nullptr;
  });
}

}  // namespace

Execute find_compare(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "setp" || name == "set") return find_comparison(i);
  return name == "testp" ? find_property(i) : nullptr;
}

}  // namespace ptx
