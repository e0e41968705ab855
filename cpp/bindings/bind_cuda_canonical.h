#pragma once

#include "bind_cuda_arguments.h"
#include "tamis/cuda/canonical.h"

namespace tamis::bindings {

struct ElementFacts {
  cuda::Element element;
  uintptr_t bytes;
};

inline ElementFacts element_of(const std::string& word) {
  if (word == "float16") return {cuda::Element::half, 2};
  if (word == "bfloat16") return {cuda::Element::bfloat16, 2};
  if (word == "float32") return {cuda::Element::float32, 4};
  if (word == "float64") return {cuda::Element::float64, 8};
  throw std::invalid_argument("element: expected float16, bfloat16, float32 or float64, got " +
                              word);
}

inline void bind_cuda_canonical(py::module_& module) {
  module.def(
      "canonical",
      [](const Address& x, const std::string& element, int64_t n_rows, int64_t dim,
         const Address& rows, const Address& state, int device, uintptr_t stream) {
        const ElementFacts facts = element_of(element);
        within(dim, 1, kMostColumns, "dim");
        const int64_t n = elements(n_rows, dim, "x");
        const void* x_data = memory<const void>(x, n, "x", facts.bytes);
        uint16_t* rows_data = memory_or_none<uint16_t>(rows, n, "rows");
        uint8_t* state_data = memory<uint8_t>(state, n_rows, "state");
        on_device(device, stream, [&](cuda::Stream queue) {
          cuda::canonical(x_data, facts.element, n_rows, dim, rows_data, state_data, queue);
        });
      },
      py::arg("x"), py::arg("element"), py::arg("n_rows"), py::arg("dim"), py::arg("rows"),
      py::arg("state"), py::kw_only(), py::arg("device"), py::arg("stream"),
      "x [n, dim] of element -> rows float16 bits [n, dim] (or None), state uint8 [n].");
  module.def(
      "squared_norms",
      [](const Address& x, int64_t n_rows, int64_t dim, const Address& squares, int device,
         uintptr_t stream) {
        const HalfRows rows = device_rows(x, n_rows, dim, "x");
        double* data = memory<double>(squares, n_rows, "squares");
        on_device(device, stream,
                  [&](cuda::Stream queue) { cuda::squared_norms(rows, data, queue); });
      },
      py::arg("x"), py::arg("n_rows"), py::arg("dim"), py::arg("squares"), py::kw_only(),
      py::arg("device"), py::arg("stream"), "x float16 bits [n, dim] -> |x|^2 float64 [n].");
}

}  // namespace tamis::bindings
