// Device memory by its address, with every size, range and alignment that can be checked without
// reading it. The caller says which device and stream; nothing is allocated or copied here.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <climits>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "tamis/array.h"
#include "tamis/cuda/device.h"

namespace tamis::bindings {

namespace py = pybind11;

using Address = std::optional<uintptr_t>;  // None and 0: none

inline constexpr int64_t kMostColumns = 65536;
inline constexpr int64_t kMostElements = int64_t{1} << 59;  // so that no size in bytes overflows
inline constexpr uintptr_t kWorkAlignment = 256;

[[noreturn]] inline void refuse(const char* name, const std::string& expected, int64_t got) {
  throw std::invalid_argument(std::string(name) + ": expected " + expected + ", got " +
                              std::to_string(got));
}

inline int64_t within(int64_t value, int64_t least, int64_t most, const char* name) {
  if (value < least || value > most) {
    refuse(name, std::to_string(least) + " to " + std::to_string(most), value);
  }
  return value;
}

// n_rows * n_columns, none of them negative.
inline int64_t elements(int64_t n_rows, int64_t n_columns, const char* name) {
  if (n_rows < 0) refuse(name, "a number of rows", n_rows);
  if (n_rows > kMostElements / n_columns) {
    refuse(name, "at most " + std::to_string(kMostElements / n_columns) + " rows", n_rows);
  }
  return n_rows * n_columns;
}

// Memory that holds n elements of T; any address where n is 0.
template <class T>
T* memory(const Address& address, int64_t n, const char* name, uintptr_t alignment = alignof(T)) {
  const uintptr_t value = address.value_or(0);
  if (n == 0) return nullptr;
  if (value == 0) {
    throw std::invalid_argument(std::string(name) + ": expected an address, got none");
  }
  if (value % alignment != 0) {
    throw std::invalid_argument(std::string(name) + ": expected an address aligned to " +
                                std::to_string(alignment) + " bytes");
  }
  return reinterpret_cast<T*>(value);
}

template <class T>
T* memory_or_none(const Address& address, int64_t n, const char* name) {
  return address.value_or(0) == 0 ? nullptr : memory<T>(address, n, name);
}

inline HalfRows device_rows(const Address& address, int64_t n_rows, int64_t dim, const char* name) {
  within(dim, 1, kMostColumns, "dim");
  return {memory<const uint16_t>(address, elements(n_rows, dim, name), name), n_rows, dim};
}

inline HalfRows device_centroids(const Address& address, int64_t n_clusters, int64_t dim) {
  within(n_clusters, 1, INT32_MAX, "n_clusters");
  return device_rows(address, n_clusters, dim, "centroids");
}

inline void* work_memory(const Address& address, int64_t given, size_t needed) {
  if (given < 0 || static_cast<size_t>(given) < needed) {
    refuse("work", "at least " + std::to_string(needed) + " bytes", given);
  }
  return memory<void>(address, needed == 0 ? 0 : 1, "work", kWorkAlignment);
}

inline cuda::Stream stream_of(uintptr_t handle) { return {reinterpret_cast<void*>(handle)}; }

// Calls do(stream) with the device current and without the GIL.
template <class Do>
auto on_device(int ordinal, uintptr_t stream, Do&& act) {
  const py::gil_scoped_release release;
  const cuda::DeviceScope scope(ordinal);
  return act(stream_of(stream));
}

}  // namespace tamis::bindings
