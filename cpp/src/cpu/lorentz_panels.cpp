#include "cpu/lorentz_panels.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace tamis::cpu {

AnglePanels::AnglePanels(int64_t dim, int64_t n_panels) : dim_(dim) {
  constexpr int64_t kHugePage = 2 << 20;
  const int64_t bytes = std::max<int64_t>(1, n_panels * dim * kPanel * 4);
  const int64_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const size_t size = static_cast<size_t>((bytes + alignment - 1) / alignment * alignment);
  words_.reset(static_cast<uint32_t*>(std::aligned_alloc(static_cast<size_t>(alignment), size)));
  if (!words_) throw std::bad_alloc();
  if (alignment == kHugePage) madvise(words_.get(), size, MADV_HUGEPAGE);  // a wish, no more
  const size_t n = at(n_panels);
  scale_.resize(n);
  tanh_.resize(n);
  sech_.resize(n);
  aper_.resize(n);
  counted_.resize(n);
}

void AnglePanels::pack(const Kernels& kernels, const Points& points, const int64_t* numbers,
                       int count, double min_radius, int64_t panel, WideRow* wide, float* scratch) {
  float* words = reinterpret_cast<float*>(words_.get() + panel * dim_ * kPanel);
  std::memset(words, 0, static_cast<size_t>(dim_) * kPanel * 4);
  for (int r = 0; r < kPanel; ++r) {
    const size_t slot = at(panel) + static_cast<size_t>(r);
    scale_[slot] = 0;  // a point at the origin until shown otherwise
    tanh_[slot] = 0;
    sech_[slot] = 1;
    aper_[slot] = counted_[slot] = 0;
    if (r >= count) continue;
    const PointFacts facts = points.widen(kernels, numbers[r], wide, scratch);
    if (!tamis::usable(facts.state)) continue;
    int exponent = 0;
    if (facts.norm > 0 && points.element() != Element::half) std::frexp(facts.norm, &exponent);
    const double power = std::ldexp(1.0, -exponent);
    const double* value = wide->value.data();
    for (int64_t i = 0; i < dim_; ++i) {
      words[i * kPanel + r] = static_cast<float>(value[i] * power);
    }
    if (facts.norm > 0) scale_[slot] = static_cast<float>(1 / (facts.norm * power));
    tanh_[slot] = static_cast<float>(facts.sinh / facts.cosh);
    sech_[slot] = static_cast<float>(1 / facts.cosh);
    // The angle that a tile gives an apex at the origin, so that its energy is 0.
    aper_[slot] = facts.norm > 0 ? half_aperture(facts, min_radius) : 1.57079632679f;
    counted_[slot] = 1;
  }
}

}  // namespace tamis::cpu
