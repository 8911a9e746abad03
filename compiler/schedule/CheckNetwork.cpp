// Whether the ids, sizes and parameters of a network fit together.

#include "absl/strings/str_cat.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/WinogradLayers.h"

#include <set>

namespace sdopt {
namespace {

constexpr int64_t kMaxDim = int64_t{1} << 24;
constexpr int64_t kMaxBytes = int64_t{1} << 40;
constexpr int64_t kMaxFactor = 1 << 12; ///< kernels, strides, dilations, upsampling
constexpr int64_t kRecord = 16;

/// Empty, or what is wrong.
using Problem = std::string;
using Dims = std::array<int64_t, 4>;

std::string text(const Dims &d) { return absl::StrCat(d[0], "x", d[1], "x", d[2], "x", d[3]); }

bool validId(int32_t id, size_t count) { return id >= 0 && static_cast<size_t>(id) < count; }

Problem tensorProblem(const Network &network, size_t id) {
  const TensorInfo &tensor = network.tensors[id];
  int64_t bytes = 1;
  for (int64_t dim : tensor.dims) {
    if (dim < 1 || dim > kMaxDim)
      return absl::StrCat("has dimension ", dim, "; needs 1..", kMaxDim);
    if (bytes > kMaxBytes / dim)
      return absl::StrCat("of ", text(tensor.dims), " is larger than ", kMaxBytes, " bytes");
    bytes *= dim;
  }
  if (tensor.type != ElementType::I8 && tensor.type != ElementType::I16 &&
      tensor.type != ElementType::I32)
    return absl::StrCat("has element type ", name(tensor.type), "; needs i8, i16 or i32");
  TensorId root = static_cast<TensorId>(id);
  for (size_t steps = 0; network.tensors[root].aliasOf != kNone; ++steps) {
    const TensorId next = network.tensors[root].aliasOf;
    if (!validId(next, network.tensors.size()))
      return absl::StrCat("is an alias of tensor ", next, " of ", network.tensors.size());
    if (steps > network.tensors.size())
      return "is an alias of itself";
    root = next;
  }
  if (network.tensors[root].bytes() != tensor.bytes())
    return absl::StrCat("of ", tensor.bytes(), " bytes is an alias of '",
                        network.tensors[root].name, "' of ", network.tensors[root].bytes());
  return "";
}

/// Collects the first problem of one layer.
struct SpecCheck {
  const Network &network;
  const Layer &layer;
  Problem problem;

  const TensorInfo &in(int i = 0) const { return network.tensors[layer.inputs[i]]; }
  const TensorInfo &out() const { return network.tensors[layer.output]; }

  void require(bool condition, const std::string &what) {
    if (!condition && problem.empty())
      problem = what;
  }
  bool inputs(size_t least, size_t most) {
    require(layer.inputs.size() >= least && layer.inputs.size() <= most,
            absl::StrCat("has ", layer.inputs.size(), " inputs; needs ", least, "..", most));
    return problem.empty();
  }
  void output(const Dims &want) {
    require(out().dims == want, absl::StrCat("makes ", text(out().dims), "; needs ", text(want)));
  }
  void codes(const TensorInfo &tensor) {
    require(tensor.type == ElementType::I8 || tensor.type == ElementType::I16,
            absl::StrCat("takes or makes '", tensor.name, "' of ", name(tensor.type),
                         "; needs i8 or i16"));
  }
  void factor(const char *what, int64_t value, int64_t least = 1) {
    require(value >= least && value <= kMaxFactor,
            absl::StrCat("has ", what, " ", value, "; needs ", least, "..", kMaxFactor));
  }
  void constant(const char *what, ConstantId id, ConstantKind kind, int64_t bytes,
                bool orMore = false) {
    require(validId(id, network.constants.size()),
            absl::StrCat("names constant ", id, " of ", network.constants.size(), " as ", what));
    if (!problem.empty())
      return;
    const ConstantInfo &info = network.constants[id];
    require(info.kind == kind,
            absl::StrCat("takes constant '", info.name, "' of another kind as ", what));
    require(info.bytes == bytes || (orMore && info.bytes > bytes),
            absl::StrCat("takes constant '", info.name, "' of ", info.bytes, " bytes as ", what,
                         "; needs ", bytes));
  }

  void axis(const char *what, int64_t input, int64_t output, int64_t kernel, int64_t stride,
            int64_t dilation, int64_t before, int64_t after) {
    const int64_t reach = (kernel - 1) * dilation + 1;
    require(before >= 0 && after >= 0 && before < reach && after < reach,
            absl::StrCat("has ", what, " padding ", before, "+", after, "; needs 0..", reach - 1,
                         ", less than the kernel's reach"));
    const int64_t padded = input + before + after;
    require(padded >= reach && output == (padded - reach) / stride + 1,
            absl::StrCat("makes ", what, " ", output, " from ", input, " with kernel ", kernel,
                         ", stride ", stride, ", dilation ", dilation, " and padding ", before, "+",
                         after));
  }

  void operator()(const MatrixLayer &s) {
    if (!inputs(1, 1))
      return;
    codes(in());
    codes(out());
    for (int64_t value :
         {s.kernelHeight, s.kernelWidth, s.strideH, s.strideW, s.dilationH, s.dilationW})
      factor("kernel, stride or dilation", value);
    if (!problem.empty())
      return;
    const Dims &x = in().dims, &y = out().dims;
    require(x[0] == y[0], absl::StrCat("has batch ", x[0], " and makes batch ", y[0]));
    axis("height", x[1], y[1], s.kernelHeight, s.strideH, s.dilationH, s.padTop, s.padBottom);
    axis("width", x[2], y[2], s.kernelWidth, s.strideW, s.dilationW, s.padLeft, s.padRight);
    const Int128 weights = static_cast<Int128>(y[3]) * s.kernelHeight * s.kernelWidth * x[3];
    require(weights <= kMaxBytes, "has more weights than can be addressed");
    require(weights * y[0] * y[1] * y[2] < (static_cast<Int128>(1) << 60),
            "has more multiplications than can be counted");
    if (!problem.empty())
      return;
    constant("weights", s.weights, ConstantKind::Weights, static_cast<int64_t>(weights));
    if (!problem.empty())
      return;
    const ConstantInfo &info = network.constants[s.weights];
    const std::string wrong = formProblem(info.form);
    require(wrong.empty(), absl::StrCat("takes constant '", info.name, "', whose ", wrong));
    require(info.share >= 1 && info.share <= kShareUnit,
            absl::StrCat("takes constant '", info.name, "', whose share is ", info.share,
                         "; needs 1..", kShareUnit));
    constant("params", s.params, ConstantKind::ChannelParams, y[3] * kRecord);
    const std::string unfit = winogradProblem(s.winograd, s, info, x[3]);
    require(unfit.empty(), unfit);
    require(s.winograd == WinogradForm::F4x4 || s.taps == TapShifts(),
            "has shifts of winograd of 4x4 outputs and is not done so");
    for (const auto &shifts : {s.taps.codes, s.taps.weights})
      for (int64_t shift : shifts)
        require(shift <= kMostTapShift,
                absl::StrCat("has a shift of ", shift, "; needs 0..", kMostTapShift));
  }

  void operator()(const CombineLayer &s) {
    if (!inputs(1, 2))
      return;
    codes(out());
    for (size_t i = 0; i < layer.inputs.size(); ++i)
      codes(in(i));
    const Dims &a = in().dims;
    const Dims &y = out().dims;
    require(s.channelOffset >= 0 && s.channelOffset + a[3] <= y[3],
            absl::StrCat("makes columns ", s.channelOffset, "..", s.channelOffset + a[3], " of ",
                         y[3]));
    output({a[0], a[1], a[2], y[3]});
    if (layer.inputs.size() < 2)
      return;
    const Dims want = s.params.broadcastRows ? Dims{a[0], 1, 1, a[3]} : a;
    require(in(1).dims == want,
            absl::StrCat("adds ", text(in(1).dims), " to ", text(a), "; needs ", text(want)));
  }

  int64_t tableBytes() const {
    return 4 * (in().type == ElementType::I8 ? kTableEntries8 : kTableKnots16);
  }
  void operator()(const TableLayer &s) {
    if (!inputs(1, 1))
      return;
    codes(in());
    codes(out());
    output(in().dims);
    constant("table", s.table, ConstantKind::Table, tableBytes());
  }
  void operator()(const GegluLayer &s) {
    if (!inputs(1, 1))
      return;
    codes(in());
    codes(out());
    const Dims &x = in().dims;
    require(x[3] % 2 == 0, absl::StrCat("has ", x[3], " columns; needs an even number"));
    output({x[0], x[1], x[2], x[3] / 2});
    constant("table", s.table, ConstantKind::Table, tableBytes());
  }
  void operator()(const NormLayer &s) {
    if (!inputs(1, 1))
      return;
    codes(in());
    codes(out());
    output(in().dims);
    const Dims &x = in().dims;
    require(s.groups >= 1 && s.groups <= x[3] && x[3] % s.groups == 0,
            absl::StrCat("has ", s.groups, " groups of ", x[3], " channels"));
    require(!s.perRow || s.groups == 1,
            absl::StrCat("normalizes each row in ", s.groups, " groups; needs 1"));
    constant("channels", s.channels, ConstantKind::NormChannels, x[3] * kRecord);
  }
  void operator()(const AttentionLayer &s) {
    if (!inputs(3, 3))
      return;
    for (int i = 0; i < 3; ++i)
      codes(in(i));
    codes(out());
    const Dims &q = in(0).dims, &k = in(1).dims, &v = in(2).dims;
    require(s.heads >= 1 && s.heads <= q[3] && q[3] % s.heads == 0,
            absl::StrCat("has ", s.heads, " heads of ", q[3], " columns"));
    require(q[1] == 1 && k[1] == 1 && k == v && q[0] == k[0] && q[3] == k[3],
            absl::StrCat("takes q ", text(q), ", k ", text(k), ", v ", text(v),
                         "; needs token sequences of one batch and width"));
    output(q);
  }
  void operator()(const UpsampleLayer &s) {
    if (!inputs(1, 1))
      return;
    factor("factor", s.factorH);
    factor("factor", s.factorW);
    require(in().type == out().type, "changes the element type");
    const Dims &x = in().dims;
    if (problem.empty())
      output({x[0], x[1] * s.factorH, x[2] * s.factorW, x[3]});
  }
  void operator()(const PermuteLayer &s) {
    if (!inputs(1, 1))
      return;
    const std::set<int32_t> axes(s.permutation.begin(), s.permutation.end());
    require(axes == std::set<int32_t>{0, 1, 2, 3}, "permutes by what is no permutation of 0..3");
    require(in().type == out().type, "changes the element type");
    if (!problem.empty())
      return;
    Dims want;
    for (int i = 0; i < 4; ++i)
      want[i] = in().dims[s.permutation[i]];
    output(want);
  }
  void operator()(const EmbeddingLayer &s) {
    if (!inputs(1, 1))
      return;
    codes(out());
    require(in().type == ElementType::I32, "takes ids that are not i32");
    const Dims &ids = in().dims, &y = out().dims;
    require(ids[1] == 1 && ids[3] == 1, absl::StrCat("takes ids of ", text(ids)));
    output({ids[0], 1, ids[2], y[3]});
    require(s.vocabulary >= 1 && s.vocabulary <= kMaxDim,
            absl::StrCat("has a vocabulary of ", s.vocabulary));
    if (!problem.empty())
      return;
    constant("tokens", s.tokens, ConstantKind::Rows, s.vocabulary * y[3]);
    constant("token multipliers", s.tokenMultipliers, ConstantKind::RowMultipliers,
             s.vocabulary * 4);
    constant("positions", s.positions, ConstantKind::Rows, y[2] * y[3], true);
    constant("position multipliers", s.positionMultipliers, ConstantKind::RowMultipliers, y[2] * 4,
             true);
  }
  void operator()(const TimeEmbeddingLayer &s) {
    if (!inputs(1, 1))
      return;
    codes(out());
    require(in().type == ElementType::I32, "takes timesteps that are not i32");
    require(s.params.halfDim >= 1 && s.params.halfDim <= kMaxDim,
            absl::StrCat("has half dimension ", s.params.halfDim));
    if (!problem.empty())
      return;
    const int64_t batch = out().dims[0], values = in().elements();
    output({batch, 1, 1, 2 * s.params.halfDim});
    require(values == 1 || values == batch,
            absl::StrCat("takes ", values, " timesteps for a batch of ", batch));
    require(s.params.fractionBits >= 0 && s.params.fractionBits <= 30,
            absl::StrCat("has ", s.params.fractionBits, " fraction bits; needs 0..30"));
    constant("steps", s.steps, ConstantKind::Table, 4 * s.params.halfDim);
    constant("sine", s.sine, ConstantKind::Table, 4 * kTableKnots16);
  }
  void operator()(const PoolTokenLayer &) {
    if (!inputs(2, 2))
      return;
    const Dims &x = in(0).dims;
    require(in(0).type == out().type, "changes the element type");
    require(in(1).type == ElementType::I32, "takes ids that are not i32");
    require(x[1] == 1 && in(1).dims == Dims{x[0], 1, x[2], 1},
            absl::StrCat("takes hidden ", text(x), " and ids ", text(in(1).dims)));
    output({x[0], 1, 1, x[3]});
  }
  void operator()(const ModulateLayer &s) {
    if (!inputs(2, 3))
      return;
    codes(out());
    const Dims &x = in().dims;
    for (size_t i = 0; i < layer.inputs.size(); ++i)
      codes(in(static_cast<int>(i)));
    for (size_t i = 1; i < layer.inputs.size(); ++i)
      require(in(static_cast<int>(i)).dims == Dims{x[0], 1, 1, x[3]},
              absl::StrCat("modulates ", text(x), " by ", text(in(static_cast<int>(i)).dims)));
    output(x);
    const auto within = [](int64_t value, int64_t most) { return value >= 0 && value <= most; };
    require(within(s.params.scaleMultiplier, kLargestScaleMultiplier) &&
                within(s.params.unit, kLargestModulation) &&
                within(s.params.shiftMultiplier, kLargestModulation) && s.params.shift >= 1 &&
                s.params.shift <= kLargestModulateShift,
            "has multipliers or a shift out of range");
  }
  void operator()(const SliceLayer &s) {
    if (!inputs(1, 1))
      return;
    require(in().type == out().type, "changes the element type");
    for (int i = 0; i < 4; ++i)
      require(s.starts[i] >= 0 && s.starts[i] <= kMaxDim &&
                  s.starts[i] + out().dims[i] <= in().dims[i],
              absl::StrCat("takes ", text(out().dims), " out of ", text(in().dims), " from ",
                           s.starts[i], " on along dimension ", i));
  }
  void operator()(const ConstantLayer &s) {
    if (!inputs(0, 0))
      return;
    codes(out());
    constant("codes", s.codes, ConstantKind::Codes, out().bytes());
  }
};

/// Which tensors have been made so far, by root.
Problem layerProblem(const Network &network, const Layer &layer, std::vector<bool> &made) {
  std::vector<TensorId> ids = layer.inputs;
  ids.push_back(layer.output);
  for (TensorId id : ids)
    if (!validId(id, network.tensors.size()))
      return absl::StrCat("names tensor ", id, " of ", network.tensors.size());
  SpecCheck check{network, layer, ""};
  std::visit(check, layer.spec);
  if (!check.problem.empty())
    return check.problem;
  const TensorId output = rootOf(network, layer.output);
  for (TensorId id : layer.inputs) {
    if (!made[rootOf(network, id)])
      return absl::StrCat("reads '", network.tensors[id].name, "' before it is made");
    if (rootOf(network, id) == output)
      return absl::StrCat("writes over its input '", network.tensors[id].name, "'");
  }
  made[output] = true;
  return "";
}

} // namespace

absl::Status checkNetwork(const Network &network) {
  const auto error = [&](const std::string &thing, const std::string &problem) {
    return absl::InvalidArgumentError(
        absl::StrCat("module '", network.name, "': ", thing, " ", problem));
  };
  for (size_t i = 0; i < network.tensors.size(); ++i)
    if (Problem problem = tensorProblem(network, i); !problem.empty())
      return error(absl::StrCat("tensor '", network.tensors[i].name, "'"), problem);
  for (const ConstantInfo &constant : network.constants)
    if (constant.bytes < 0 || constant.bytes > kMaxBytes)
      return error(absl::StrCat("constant '", constant.name, "'"),
                   absl::StrCat("has ", constant.bytes, " bytes"));
  std::vector<bool> made(network.tensors.size(), false);
  for (size_t i = 0; i < network.tensors.size(); ++i)
    if (network.tensors[i].role == TensorRole::Input)
      made[rootOf(network, static_cast<TensorId>(i))] = true;
  const std::vector<bool> inputs = made;
  Phase phase = Phase::Prompt;
  for (const Layer &layer : network.layers) {
    if (layer.phase < phase)
      return error(
          absl::StrCat("layer '", layer.name, "'"),
          absl::StrCat("of phase ", name(layer.phase), " comes after phase ", name(phase)));
    phase = layer.phase;
    Problem problem = layerProblem(network, layer, made);
    if (problem.empty() && inputs[rootOf(network, layer.output)])
      problem =
          absl::StrCat("writes over the module's input '", network.tensors[layer.output].name, "'");
    if (!problem.empty())
      return error(absl::StrCat("layer '", layer.name, "' (", kindName(layer), ")"), problem);
  }
  for (size_t i = 0; i < network.tensors.size(); ++i)
    if (network.tensors[i].role == TensorRole::Output && !made[rootOf(network, i)])
      return error(absl::StrCat("output '", network.tensors[i].name, "'"), "is never made");
  return absl::OkStatus();
}

} // namespace sdopt
