// Ragged segments and what their rows may see, as checked views on NumPy arrays.
#pragma once

#include "arrays.h"
#include "tamis/max_cosine.h"

namespace tamis::bindings {

inline Segments checked_segments(const py::array& offsets, int64_t n_rows, const char* name) {
  const auto view = checked<int64_t>(offsets, name, 1);
  const int64_t n = view.size() - 1;
  const int64_t* data = view.data();
  if (n < 0 || data[0] != 0 || data[n] != n_rows) {
    throw std::invalid_argument(std::string(name) + ": expected to start at 0 and to end at " +
                                std::to_string(n_rows) + " (the number of rows)");
  }
  for (int64_t s = 0; s < n; ++s) {
    if (data[s] > data[s + 1]) {
      throw std::invalid_argument(std::string(name) + ": expected ascending offsets, got " +
                                  std::to_string(data[s]) + " before " +
                                  std::to_string(data[s + 1]));
    }
  }
  return {data, n};
}

// Offsets that say themselves how many rows there are.
inline Segments planned_segments(const py::array& offsets, const char* name, int64_t& n_rows) {
  const auto view = checked<int64_t>(offsets, name, 1);
  n_rows = view.size() > 0 ? view.data()[view.size() - 1] : 0;
  return checked_segments(offsets, n_rows, name);
}

inline void same_segments(const Segments& rows, const Segments& columns) {
  if (columns.n_segments != rows.n_segments) {
    throw std::invalid_argument("other_offsets: expected " + std::to_string(rows.n_segments) +
                                " segments, as in offsets, got " +
                                std::to_string(columns.n_segments));
  }
}

inline Sight sight_of(bool has_other, bool exclude_self) {
  return {has_other || exclude_self ? Sight::all : Sight::earlier, nullptr,
          exclude_self && !has_other};
}

inline const int64_t* checked_limits(const py::array& limits, const Segments& rows,
                                     const Segments& columns) {
  const int64_t* data = vector<int64_t>(limits, "limits", rows.offsets[rows.n_segments]);
  for (int64_t s = 0; s < rows.n_segments; ++s) {
    const int64_t size = columns.offsets[s + 1] - columns.offsets[s];
    for (int64_t i = rows.offsets[s]; i < rows.offsets[s + 1]; ++i) {
      if (data[i] < 0 || data[i] > size) {
        throw std::invalid_argument("limits: expected 0 to " + std::to_string(size) + ", got " +
                                    std::to_string(data[i]) + " in row " + std::to_string(i));
      }
    }
  }
  return data;
}

}  // namespace tamis::bindings
