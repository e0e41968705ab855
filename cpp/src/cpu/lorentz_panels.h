// Points packed for the tiles of all pairs, 48 to a panel.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "cpu/lorentz_points.h"

namespace tamis::cpu {

// Words are the float16 numbers as they are; other rows times a power of two, rounded to float32.
class AnglePanels {
 public:
  AnglePanels(int64_t dim, int64_t n_panels);

  // Packs rows numbers[0..count), count <= 48, as one panel. A marked row becomes zeros.
  void pack(const Kernels& kernels, const Points& points, const int64_t* numbers, int count,
            double min_radius, int64_t panel, WideRow* wide, float* scratch);

  const uint32_t* words(int64_t panel) const { return words_.get() + panel * dim_ * kPanel; }
  const float* scale(int64_t panel) const { return &scale_[at(panel)]; }
  const float* tanh(int64_t panel) const { return &tanh_[at(panel)]; }
  const float* sech(int64_t panel) const { return &sech_[at(panel)]; }
  const double* aper(int64_t panel) const { return &aper_[at(panel)]; }
  const double* counted(int64_t panel) const { return &counted_[at(panel)]; }
  bool usable(int64_t panel, int row) const {
    return counted_[at(panel) + static_cast<size_t>(row)] != 0;
  }

 private:
  struct Free {
    void operator()(uint32_t* words) const { std::free(words); }
  };
  static size_t at(int64_t panel) { return static_cast<size_t>(panel) * kPanel; }

  int64_t dim_;
  std::unique_ptr<uint32_t, Free> words_;
  std::vector<float> scale_, tanh_, sech_;
  std::vector<double> aper_, counted_;
};

}  // namespace tamis::cpu
