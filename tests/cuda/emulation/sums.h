// How matrix instructions sum: see warp.h.
#pragma once

#include <cstdint>

#include "block.h"

namespace tamis::emulation {

inline constexpr int kDepth = 16;  // elements of a product

// d + the products, to the model.
float sum_products(float d, const float* products, const Settings& model);  // products: [kDepth]

// The order and rounding of the model are those of plain float32 sums by ascending k.
inline bool is_plain(const Settings& model) { return model.sum_order == 0 && !model.truncate; }

// float16 bits to float32, [65536]
const float* half_table();

}  // namespace tamis::emulation
