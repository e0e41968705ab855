#include <string>

#include "cuda/device/launch.h"
#include "cuda/tensor_map.h"

namespace tamis::cuda {

#ifdef TAMIS_EMULATION

TensorMap map_rows(const HalfRows& rows, int box_rows) {
  return {rows.data, rows.n_rows, rows.dim, box_rows};
}

#else

namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// By its name: nothing here is linked to the driver.
Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found,
                                                              12000, cudaEnableDefault, &result);
#else
  const cudaError_t status =
      cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
  check(status, "find cuTensorMapEncodeTiled in the driver");
  if (result != cudaDriverEntryPointSuccess || found == nullptr) {
    throw Error("CUDA could not find cuTensorMapEncodeTiled in the driver");
  }
  return reinterpret_cast<Encode>(found);
}

}  // namespace

TensorMap map_rows(const HalfRows& rows, int box_rows) {
  static const Encode encode = find_encode();
  TensorMap map;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(rows.dim),
                              static_cast<cuuint64_t>(rows.n_rows)};
  const cuuint64_t strides[] = {sizes[0] * sizeof(uint16_t)};  // from one row to the next
  const cuuint32_t box[] = {kBoxElements, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, const_cast<uint16_t*>(rows.data), sizes,
             strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw Error("CUDA could not map " + std::to_string(rows.n_rows) + " x " +
                std::to_string(rows.dim) + " rows: error " + std::to_string(status));
  }
  return map;
}

#endif

}  // namespace tamis::cuda
