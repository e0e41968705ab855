// Pairs above a threshold, and the two rules that walk them: greedy and components.
#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <numeric>

#include "cpu/above.h"
#include "cpu/level.h"
#include "cpu/parallel.h"
#include "tamis/max_cosine.h"

namespace tamis {

namespace cpu {

namespace {

constexpr int64_t kChunkPanels = 64;
constexpr int64_t kChunkRows = kChunkPanels * kPanel;

int panel_rows(int64_t begin, int64_t end) {
  return static_cast<int>(std::min<int64_t>(kPanel, end - begin));
}

void sort_edges(std::vector<Edge>& edges) {
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return a.later != b.later ? a.later < b.later : a.earlier < b.earlier;
  });
}

// Columns [begin, end), at most kChunkRows, packed.
struct ColumnChunk {
  int64_t begin, end;
  Panels panels;

  ColumnChunk(Above& above, int64_t begin, int64_t end, int64_t dim, const Center& center)
      : begin(begin), end(end), panels(above.format(), dim, (end - begin + kPanel - 1) / kPanel) {
    for (int64_t c = begin; c < end; c += kPanel) {
      above.pack(panels, (c - begin) / kPanel, c, panel_rows(c, end), center);
    }
  }
};

// All edges between the rows [row, row + n_rows), one panel, and the columns of a chunk.
void edges_of_panel(Above& above, const Panels& rows, int64_t row_panel, int64_t row, int n_rows,
                    const ColumnChunk& chunk, std::vector<Edge>& edges) {
  for (int64_t c = chunk.begin; c < std::min(chunk.end, row + n_rows); c += kPanel) {
    above.find(rows, row_panel, row, n_rows, chunk.panels, (c - chunk.begin) / kPanel, c,
               panel_rows(c, chunk.end), edges);
  }
}

// Edges of rows [begin, end), panel by panel in parallel, each panel's in (later, earlier) order.
// False where there are too many for so many rows; one row's are never too many.
bool edges_of_rows(const Kernels& kernels, const Operand& x, float threshold, int64_t begin,
                   int64_t end, const Center& center, std::vector<std::vector<Edge>>& edges,
                   const Context& context) {
  constexpr int64_t kMostEdges = 1 << 21;
  std::atomic<int64_t> n_edges{0};
  const bool may_stop = end - begin > 1;
  std::vector<std::unique_ptr<Above>> workers(static_cast<size_t>(context.n_threads));
  for (int64_t b = 0; b < end; b += kChunkRows) {
    Above packer(kernels, x, threshold, true);
    const ColumnChunk chunk(packer, b, std::min(end, b + kChunkRows), x.dim, center);
    parallel_for(static_cast<int64_t>(edges.size()), context, [&](int64_t task, int thread) {
      if (may_stop && n_edges.load() > kMostEdges) return;
      auto& above = workers[static_cast<size_t>(thread)];
      if (!above) above = std::make_unique<Above>(kernels, x, threshold, true);
      const int64_t row = begin + task * kPanel;
      const int n_rows = panel_rows(row, end);
      Panels panels(above->format(), x.dim, 1);
      above->pack(panels, 0, row, n_rows, center);
      auto& found = edges[static_cast<size_t>(task)];
      const size_t before = found.size();
      edges_of_panel(*above, panels, 0, row, n_rows, chunk, found);
      n_edges += static_cast<int64_t>(found.size() - before);
    });
    if (may_stop && n_edges.load() > kMostEdges) return false;
  }
  for (auto& panel : edges) sort_edges(panel);
  return true;
}

// At most a million pairs at a time; edges are freed on the way.
void send(std::vector<std::vector<Edge>>& edges, int64_t first_row, const PairSink& sink) {
  constexpr size_t kPairsAtOnce = 1 << 20;
  std::vector<Pair> pairs;
  const auto flush = [&] {
    if (!pairs.empty()) sink(pairs.data(), static_cast<int64_t>(pairs.size()));
    pairs.clear();
  };
  for (auto& panel : edges) {
    for (const Edge& edge : panel) {
      pairs.push_back({edge.earlier + first_row, edge.later + first_row, edge.cosine});
      if (pairs.size() == kPairsAtOnce) flush();
    }
    std::vector<Edge>().swap(panel);
  }
  flush();
}

// Rows of one segment after a chunk of it, panel by panel in parallel: visit(edges) under a lock.
template <class Visit>
void later_rows(const Kernels& kernels, const Operand& x, float threshold, int64_t end,
                const ColumnChunk& chunk, const Center& center, const Context& context,
                const Visit& visit) {
  std::mutex mutex;
  const int64_t n_tasks = (end - chunk.end + kPanel - 1) / kPanel;
  std::vector<std::unique_ptr<Above>> workers(static_cast<size_t>(context.n_threads));
  std::vector<Panels> own(static_cast<size_t>(context.n_threads));
  parallel_for(n_tasks, context, [&](int64_t task, int thread) {
    auto& above = workers[static_cast<size_t>(thread)];
    Panels& panels = own[static_cast<size_t>(thread)];
    if (!above) {
      above = std::make_unique<Above>(kernels, x, threshold, false);
      panels = Panels(above->format(), x.dim, 1);
    }
    const int64_t row = chunk.end + task * kPanel;
    above->pack(panels, 0, row, panel_rows(row, end), center);
    std::vector<Edge> edges;
    edges_of_panel(*above, panels, 0, row, panel_rows(row, end), chunk, edges);
    const std::lock_guard<std::mutex> lock(mutex);
    visit(edges);
  });
}

// Chunk by chunk, inner(edges of a panel of the chunk, row by row) in order, then later(edges).
template <class Inner, class Later>
void walk_segment(const Kernels& kernels, const Operand& x, float threshold, int64_t begin,
                  int64_t end, const Context& context, const Inner& inner, const Later& later) {
  Above above(kernels, x, threshold, false);
  const Center center = mean_center(kernels, x, begin, end);
  std::vector<Edge> edges;
  for (int64_t b = begin; b < end; b += kChunkRows) {
    const ColumnChunk chunk(above, b, std::min(end, b + kChunkRows), x.dim, center);
    for (int64_t row = b; row < chunk.end; row += kPanel) {
      edges.clear();
      edges_of_panel(above, chunk.panels, (row - b) / kPanel, row, panel_rows(row, chunk.end),
                     chunk, edges);
      sort_edges(edges);
      inner(edges);
    }
    if (chunk.end < end) {
      later_rows(kernels, x, threshold, end, chunk, center, context, later);
    }
  }
}

// Small segments side by side, giant ones one after another on all threads.
template <class Walk>
void for_each_segment(const Segments& segments, const Context& context, const Walk& walk) {
  const Context alone{1, nullptr};
  std::vector<int64_t> small;
  for (int64_t s = 0; s < segments.n_segments; ++s) {
    const int64_t n = segments.offsets[s + 1] - segments.offsets[s];
    if (n > kChunkRows) {
      walk(segments.offsets[s], segments.offsets[s + 1], context);
    } else if (n > 1) {
      small.push_back(s);
    }
  }
  parallel_for(static_cast<int64_t>(small.size()), context, [&](int64_t t, int) {
    const int64_t s = small[static_cast<size_t>(t)];
    walk(segments.offsets[s], segments.offsets[s + 1], alone);
  });
}

int64_t root(int64_t* parent, int64_t row) {
  while (parent[row] != row) row = parent[row] = parent[parent[row]];
  return row;
}

void join(int64_t* parent, const std::vector<Edge>& edges) {
  for (const Edge& edge : edges) {
    const int64_t a = root(parent, edge.later), b = root(parent, edge.earlier);
    parent[std::max(a, b)] = std::min(a, b);
  }
}

}  // namespace
}  // namespace cpu

int64_t pairs_above(const HalfRows& x, int64_t segment_begin, int64_t begin, int64_t end,
                    float threshold, const PairSink& sink, const Context& context) {
  using namespace cpu;
  const DefaultFloatingPoint default_floating_point;
  const Kernels& kernels = cpu::kernels();
  const HalfRows seen{x.row(segment_begin), end - segment_begin, x.dim};
  std::vector<double> norm = norms(kernels, seen, context);
  const Operand rows{seen.n_rows, x.dim, seen.data, nullptr, norm.data(), nullptr};
  const Center center = mean_center(kernels, rows, 0, rows.n);
  const int64_t row = begin - segment_begin;
  int64_t stop = rows.n;
  while (row < stop) {
    std::vector<std::vector<Edge>> edges((stop - row + kPanel - 1) / kPanel);
    if (edges_of_rows(kernels, rows, threshold, row, stop, center, edges, context)) {
      send(edges, segment_begin, sink);
      break;
    }
    stop = row + std::max<int64_t>(1, (stop - row) / 4);
  }
  return segment_begin + stop;
}

void greedy_keep(const HalfRows& x, const Segments& segments, float threshold, uint8_t* keep,
                 const Context& context) {
  using namespace cpu;
  const DefaultFloatingPoint default_floating_point;
  const Kernels& kernels = cpu::kernels();
  std::vector<double> norm = norms(kernels, x, context);
  const Operand rows{x.n_rows, x.dim, x.data, nullptr, norm.data(), nullptr};
  std::fill(keep, keep + x.n_rows, uint8_t{1});
  // Edges come by ascending later row, or from a chunk that is settled: keep[earlier] is final.
  const auto settle = [keep](const std::vector<Edge>& edges) {
    for (const Edge& edge : edges) {
      if (keep[edge.earlier]) keep[edge.later] = 0;
    }
  };
  for_each_segment(segments, context, [&](int64_t begin, int64_t end, const Context& inside) {
    walk_segment(kernels, rows, threshold, begin, end, inside, settle, settle);
  });
}

void components(const HalfRows& x, const Segments& segments, float threshold, int64_t* component,
                const Context& context) {
  using namespace cpu;
  const DefaultFloatingPoint default_floating_point;
  const Kernels& kernels = cpu::kernels();
  std::vector<double> norm = norms(kernels, x, context);
  const Operand rows{x.n_rows, x.dim, x.data, nullptr, norm.data(), nullptr};
  std::iota(component, component + x.n_rows, int64_t{0});
  const auto unite = [component](const std::vector<Edge>& edges) { join(component, edges); };
  for_each_segment(segments, context, [&](int64_t begin, int64_t end, const Context& inside) {
    walk_segment(kernels, rows, threshold, begin, end, inside, unite, unite);
  });
  for (int64_t row = 0; row < x.n_rows; ++row) component[row] = root(component, row);
}

}  // namespace tamis
