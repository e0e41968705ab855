// cuTensorMapEncodeTiled, as the driver's documentation says it: what it forbids is refused.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "runtime.h"
#include "tensor_map.h"

static_assert(sizeof(ptx::TensorMap) == sizeof(CUtensorMap));

namespace ptx {
namespace {

constexpr unsigned kLeastRank = 2, kMostRank = 5;  // the documentation has 1, too
constexpr unsigned kFirstVersion = 12000;          // of CUDA that has it
const char kEncodeName[] = "cuTensorMapEncodeTiled";

// 0 for formats of fewer bits than a byte, which this machine does not have.
uint32_t element_bytes(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8:
      return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
      return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ:
      return 4;
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

bool is_multiple(uint64_t value, uint64_t of) { return value % of == 0; }

bool is_within(uint64_t value, uint64_t least, uint64_t most) {
  return value >= least && value <= most;
}

// Whether the documentation allows it, and this machine has it.
bool is_valid(const TensorMap& map, const cuuint32_t* steps) {
  if (map.element_bytes == 0 || map.address == 0 || !is_multiple(map.address, 16)) return false;
  for (unsigned i = 0; i < map.n_outer + 2; ++i) {
    const uint64_t size = i < 2 ? map.sizes[i] : map.outer_sizes[i - 2];
    const uint32_t box = i < 2 ? map.box[i] : map.outer_box[i - 2];
    if (!is_within(size, 1, uint64_t{1} << 32) || !is_within(box, 1, 256)) return false;
    if (!is_within(steps[i], 1, 8)) return false;
    if (i > 0 && steps[i] != 1) return false;  // valid, but this machine has no such copies
  }
  for (unsigned i = 0; i < map.n_outer; ++i) {
    const uint64_t bytes = map.outer_bytes[i];
    if (!is_multiple(bytes, 16) || bytes >= uint64_t{1} << 40) return false;
  }
  if (!is_multiple(map.row_bytes, 16) || map.row_bytes >= uint64_t{1} << 40) return false;
  if (map.row_bytes < map.sizes[0] * map.element_bytes) return false;
  const uint64_t box_bytes = uint64_t{map.box[0]} * map.element_bytes;
  return is_multiple(box_bytes, 16) && (map.swizzle_bytes == 0 || box_bytes <= map.swizzle_bytes);
}

cudaError_t find(const char* symbol, void** found, unsigned version,
                 cudaDriverEntryPointQueryResult* result) {
  if (symbol == nullptr || found == nullptr) return failed(cudaErrorInvalidValue, "null");
  *found = nullptr;
  auto state = cudaDriverEntryPointSymbolNotFound;
  if (std::strcmp(symbol, kEncodeName) == 0) {
    state = version < kFirstVersion ? cudaDriverEntryPointVersionNotSufficent
                                    : cudaDriverEntryPointSuccess;
  }
  if (state == cudaDriverEntryPointSuccess) {
    *found = reinterpret_cast<void*>(&cuTensorMapEncodeTiled);
  }
  if (result != nullptr) *result = state;
  return cudaSuccess;
}

}  // namespace
}  // namespace ptx

extern "C" {

CUresult cuTensorMapEncodeTiled(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank,
                                void* address, const cuuint64_t* sizes, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* steps,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill outside) {
  if (ptx::capability() < 90) return CUDA_ERROR_NOT_SUPPORTED;
  if (to == nullptr || !ptx::is_multiple(reinterpret_cast<uintptr_t>(to), 64)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (!ptx::is_within(rank, ptx::kLeastRank, ptx::kMostRank) || sizes == nullptr ||
      strides == nullptr || box == nullptr || steps == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || swizzle < CU_TENSOR_MAP_SWIZZLE_NONE ||
      swizzle > CU_TENSOR_MAP_SWIZZLE_128B || promotion < CU_TENSOR_MAP_L2_PROMOTION_NONE ||
      promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B ||
      outside != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ptx::TensorMap map{};
  map.mark = ptx::kTensorMapMark;
  map.address = reinterpret_cast<uint64_t>(address);
  map.n_outer = rank - 2;
  for (unsigned i = 0; i < rank; ++i) {
    (i < 2 ? map.sizes[i] : map.outer_sizes[i - 2]) = sizes[i];
    (i < 2 ? map.box[i] : map.outer_box[i - 2]) = box[i];
    if (i > 1) map.outer_bytes[i - 2] = strides[i - 1];
  }
  map.row_bytes = strides[0];
  map.element_bytes = ptx::element_bytes(type);
  map.swizzle_bytes = swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ? 0 : 16u << swizzle;
  if (!ptx::is_valid(map, steps)) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(to, &map, sizeof(map));
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** found, unsigned version,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  return ptx::find(symbol, found, version, result);
}

}  // extern "C"
