// Archives over the field lists of CommandFields.h: encoder, decoder, range check, disassembler.

#include "compiler/package/CommandCoding.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/package/CommandFields.h"
#include "compiler/package/CommandOperands.h"
#include "compiler/package/Package.h"

#include <limits>

namespace sdopt {
namespace {

/// The byte of a form: bits 0 to 3 coding, 4 and 5 layout of zeros, 6 entropy-coded.
constexpr int kZerosShift = 4;
constexpr uint8_t kEntropyBit = 1 << 6;

/// Element types a code format may have, stored as their number.
bool isCodeType(ElementType type) { return type == ElementType::I8 || type == ElementType::I16; }

uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

class Encoder {
public:
  explicit Encoder(std::string &out) : out_(out) {}

  void byte(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void varint(uint64_t value) {
    for (; value >= 128; value >>= 7)
      byte(static_cast<uint8_t>(value | 128));
    byte(static_cast<uint8_t>(value));
  }
  template <typename Wire, typename Value> void field(const char *, Value &value) {
    varint(std::is_signed_v<Wire> ? zigzag(static_cast<int64_t>(value))
                                  : static_cast<uint64_t>(value));
  }
  template <typename Wire, typename... Values> void list(const char *name, Values &...values) {
    (field<Wire>(name, values), ...);
  }
  template <typename Wire, typename Values> void numbers(const char *name, Values &values) {
    for (auto &value : values)
      field<Wire>(name, value);
  }
  void format(const char *name, CodeFormat &format) {
    byte(static_cast<uint8_t>(format.type));
    field<int32_t>(name, format.zeroPoint);
  }
  void flag(const char *, bool &value) { byte(value ? 1 : 0); }
  void region(const char *, Region &value) { byte(static_cast<uint8_t>(value)); }
  void form(const char *, WeightForm &value) {
    byte(static_cast<uint8_t>(static_cast<uint8_t>(value.coding) |
                              static_cast<uint8_t>(value.zeros) << kZerosShift |
                              (value.lanes > 0 ? kEntropyBit : 0)));
    if (value.lanes > 0)
      varint(static_cast<uint64_t>(value.lanes));
  }

private:
  std::string &out_;
};

/// Remembers the first failure and the place where it happened; later reads do nothing.
class Decoder {
public:
  explicit Decoder(std::span<const std::byte> bytes) : bytes_(bytes) {}

  const absl::Status &status() const { return status_; }
  size_t position() const { return position_; }
  bool atEnd() const { return position_ == bytes_.size(); }

  uint8_t byte(const char *name) {
    if (status_.ok() && position_ < bytes_.size())
      return static_cast<uint8_t>(bytes_[position_++]);
    fail(name, "the stream ends here");
    return 0;
  }
  uint64_t varint(const char *name) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint64_t group = byte(name);
      if (shift == 63 && group > 1)
        break;
      value |= (group & 127) << shift;
      if (group >= 128)
        continue;
      if (group == 0 && shift > 0)
        fail(name, "number is longer than it need be");
      return value;
    }
    fail(name, "number does not fit 64 bits");
    return 0;
  }
  template <typename Wire, typename Value> void field(const char *name, Value &value) {
    const uint64_t raw = varint(name);
    bool fits = true;
    if constexpr (std::is_signed_v<Wire>) {
      const int64_t number = unzigzag(raw);
      fits =
          number >= std::numeric_limits<Wire>::min() && number <= std::numeric_limits<Wire>::max();
      value = static_cast<Value>(number);
    } else {
      fits = raw <= std::numeric_limits<Wire>::max();
      if constexpr (std::is_signed_v<Value>)
        fits = fits && raw <= static_cast<uint64_t>(std::numeric_limits<Value>::max());
      value = static_cast<Value>(raw);
    }
    if (!fits)
      fail(name, "number is out of range");
  }
  template <typename Wire, typename... Values> void list(const char *name, Values &...values) {
    (field<Wire>(name, values), ...);
  }
  template <typename Wire, typename Values> void numbers(const char *name, Values &values) {
    for (auto &value : values)
      field<Wire>(name, value);
  }
  void format(const char *name, CodeFormat &format) {
    format.type = static_cast<ElementType>(byte(name));
    if (!isCodeType(format.type))
      fail(name, "element type is neither i8 nor i16");
    field<int32_t>(name, format.zeroPoint);
  }
  void flag(const char *name, bool &value) {
    const uint8_t raw = byte(name);
    if (raw > 1)
      fail(name, "flag is neither 0 nor 1");
    value = raw == 1;
  }
  void region(const char *name, Region &value) {
    const uint8_t raw = byte(name);
    if (raw > 1)
      fail(name, "region is neither 0 (constants) nor 1 (arena)");
    value = static_cast<Region>(raw);
  }
  void form(const char *name, WeightForm &value) {
    const uint8_t raw = byte(name);
    const uint8_t coding = raw & ((1 << kZerosShift) - 1);
    if (raw == 0 || raw >= 2 * kEntropyBit || coding > static_cast<uint8_t>(WeightCoding::Palette))
      fail(name, "weights are neither grouped nor of a palette, and nothing else decodes them");
    value = {};
    value.coding = static_cast<WeightCoding>(coding);
    value.zeros = static_cast<ZeroLayout>(raw >> kZerosShift & 3);
    if ((raw & kEntropyBit) == 0)
      return;
    field<uint16_t>("lanes", value.lanes);
    if (value.lanes == 0)
      fail("lanes", "entropy-coded without lanes");
  }
  void fail(const char *name, const char *what) {
    if (status_.ok())
      status_ =
          absl::DataLossError(absl::StrCat("byte ", position_, ": field '", name, "': ", what));
  }

private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  absl::Status status_;
};

/// Finds the first field whose value its stored width cannot hold.
class RangeCheck {
public:
  absl::Status status;

  template <typename Wire, typename Value> void field(const char *name, Value &value) {
    const Int128 wide = value;
    if (status.ok() && (wide < Int128{std::numeric_limits<Wire>::min()} ||
                        wide > Int128{std::numeric_limits<Wire>::max()}))
      status = absl::InvalidArgumentError(
          absl::StrCat("field '", name, "' is ", value, ", which its ", 8 * sizeof(Wire), "-bit ",
                       std::is_signed_v<Wire> ? "signed" : "unsigned", " field cannot hold"));
  }
  template <typename Wire, typename... Values> void list(const char *name, Values &...values) {
    (field<Wire>(name, values), ...);
  }
  template <typename Wire, typename Values> void numbers(const char *name, Values &values) {
    for (auto &value : values)
      field<Wire>(name, value);
  }
  void format(const char *name, CodeFormat &format) {
    if (status.ok() && !isCodeType(format.type))
      status = absl::InvalidArgumentError(absl::StrCat(
          "field '", name, "' has element type ", sdopt::name(format.type), "; needs i8 or i16"));
  }
  void flag(const char *, bool &) {}
  void region(const char *, Region &) {}
  void form(const char *, WeightForm &value) { field<uint16_t>("lanes", value.lanes); }
};

class Printer {
public:
  explicit Printer(std::string &out) : out_(out) {}

  template <typename Wire, typename Value> void field(const char *name, Value &value) {
    absl::StrAppend(&out_, " ", name, "=", value);
  }
  template <typename Wire, typename... Values> void list(const char *name, Values &...values) {
    const char *separator = "=";
    absl::StrAppend(&out_, " ", name);
    ((absl::StrAppend(&out_, separator, values), separator = "x"), ...);
  }
  template <typename Wire, typename Values> void numbers(const char *name, Values &values) {
    absl::StrAppend(&out_, " ", name, "=[", absl::StrJoin(values, ", "), "]");
  }
  void format(const char *name, CodeFormat &format) {
    absl::StrAppend(&out_, " ", name, "=", sdopt::name(format.type));
    if (format.zeroPoint != 0)
      absl::StrAppend(&out_, format.zeroPoint > 0 ? "+" : "", format.zeroPoint);
  }
  void flag(const char *name, bool &value) {
    absl::StrAppend(&out_, " ", name, "=", value ? 1 : 0);
  }
  void region(const char *name, Region &value) {
    absl::StrAppend(&out_, " ", name, "=", value == Region::Arena ? "arena" : "constants");
  }
  void form(const char *name, WeightForm &value) {
    constexpr const char *kCodings[] = {"raw", "grouped", "palette"};
    constexpr const char *kZeros[] = {"dense", "bitmap", "structured", "runs"};
    absl::StrAppend(&out_, " ", name, "=", kCodings[static_cast<size_t>(value.coding)]);
    if (value.zeros != ZeroLayout::Dense)
      absl::StrAppend(&out_, " zeros=", kZeros[static_cast<size_t>(value.zeros)]);
    if (value.lanes > 0)
      absl::StrAppend(&out_, " lanes=", value.lanes);
  }

private:
  std::string &out_;
};

/// Semaphore counts: a byte whose bit q (waits) or 4 + q (signals) says that queue q has one, then
/// those counts.
void encodeSemaphores(Encoder &encoder, const Command &command) {
  uint8_t mask = 0;
  for (int q = 0; q < kQueues; ++q)
    mask |=
        static_cast<uint8_t>((command.waits[q] != 0) << q | (command.signals[q] != 0) << (4 + q));
  encoder.byte(mask);
  for (const auto *counts : {&command.waits, &command.signals})
    for (uint16_t count : *counts)
      if (count != 0)
        encoder.varint(count);
}

void decodeSemaphores(Decoder &decoder, Command &command) {
  const uint8_t mask = decoder.byte("semaphores");
  for (int i = 0; i < 2 * kQueues; ++i) {
    uint16_t &count = i < kQueues ? command.waits[i] : command.signals[i - kQueues];
    if (!(mask >> i & 1))
      continue;
    decoder.field<uint16_t>("semaphores", count);
    if (count == 0)
      decoder.fail("semaphores", "count that is present is zero");
  }
}

void appendSemaphores(std::string &out, const char *what,
                      const std::array<uint16_t, kQueues> &counts) {
  const char *separator = "=";
  for (int q = 0; q < kQueues; ++q)
    if (counts[q] != 0) {
      absl::StrAppend(&out, separator == std::string("=") ? absl::StrCat(" ", what) : "", separator,
                      name(static_cast<Queue>(q)), ":", counts[q]);
      separator = ",";
    }
}

absl::Status atCommand(size_t index, const absl::Status &status) {
  return absl::Status(status.code(), absl::StrCat("command ", index, ": ", status.message()));
}

} // namespace

Opcode opcodeOf(const CommandArgs &args) {
  // In the order of the variant's alternatives.
  constexpr Opcode kOpcodes[] = {
      Opcode::DmaLoad,         Opcode::DmaStore,
      Opcode::DmaGather,       Opcode::Conv,
      Opcode::Requantize,      Opcode::Combine,
      Opcode::Table,           Opcode::Geglu,
      Opcode::NormSums,        Opcode::NormApply,
      Opcode::AttentionMaxima, Opcode::AttentionAccumulate,
      Opcode::AttentionFinish, Opcode::TimeEmbedding,
      Opcode::Embed,           Opcode::PoolToken,
      Opcode::Modulate,        Opcode::DmaWeights,
  };
  static_assert(std::size(kOpcodes) == std::variant_size_v<CommandArgs>);
  if (const auto *conv = std::get_if<ConvCommand>(&args)) {
    constexpr Opcode kForms[] = {Opcode::Conv, Opcode::ConvWinograd, Opcode::ConvWinograd4};
    return kForms[static_cast<size_t>(conv->winograd)];
  }
  if (const auto *geglu = std::get_if<GegluCommand>(&args); geglu && geglu->gate >= 0)
    return Opcode::GegluHalves;
  return kOpcodes[args.index()];
}

std::optional<CommandArgs> argsOf(uint8_t opcode) {
  for (WinogradForm form : {WinogradForm::F2x2, WinogradForm::F4x4}) {
    ConvCommand conv;
    conv.winograd = form;
    if (opcode == static_cast<uint8_t>(opcodeOf(conv)))
      return conv;
  }
  if (opcode == static_cast<uint8_t>(Opcode::GegluHalves)) {
    GegluCommand geglu;
    geglu.gate = 0;
    return geglu;
  }
  std::optional<CommandArgs> found;
  [&]<size_t... I>(std::index_sequence<I...>) {
    (
        [&] {
          const CommandArgs args(std::in_place_index<I>);
          if (static_cast<uint8_t>(opcodeOf(args)) == opcode)
            found = args;
        }(),
        ...);
  }(std::make_index_sequence<std::variant_size_v<CommandArgs>>());
  return found;
}

Queue queueOf(const CommandArgs &args) {
  const Opcode opcode = opcodeOf(args);
  if (opcode == Opcode::DmaStore)
    return Queue::DmaOut;
  switch (static_cast<uint8_t>(opcode) >> 4) {
  case 0:
    return Queue::DmaIn;
  case 1:
    return Queue::Array;
  default:
    return Queue::Vector;
  }
}

absl::Status checkEncodable(const std::vector<Command> &commands) {
  for (size_t i = 0; i < commands.size(); ++i) {
    Command command = commands[i];
    RangeCheck check;
    visitFields(check, command.args);
    if (check.status.ok() && command.layer < 0)
      check.status = absl::InvalidArgumentError(absl::StrCat("layer is ", command.layer));
    if (check.status.ok() && command.queue != queueOf(command.args))
      check.status = absl::InvalidArgumentError(
          absl::StrCat(mnemonic(command), " is on queue ", name(command.queue), "; only ",
                       name(queueOf(command.args)), " takes it"));
    if (!check.status.ok())
      return atCommand(i, check.status);
  }
  return absl::OkStatus();
}

std::string encodeCommands(const std::vector<Command> &commands) {
  std::string out;
  for (int i = 0; i < 8; ++i)
    out.push_back(static_cast<char>(commands.size() >> (8 * i) & 255));
  Encoder encoder(out);
  for (Command command : commands) {
    encoder.byte(static_cast<uint8_t>(opcodeOf(command.args)));
    encoder.field<uint32_t>("layer", command.layer);
    encodeSemaphores(encoder, command);
    visitFields(encoder, command.args);
  }
  return out;
}

absl::StatusOr<std::vector<Command>> decodeCommands(std::span<const std::byte> bytes) {
  Decoder decoder(bytes);
  uint64_t count = 0;
  for (int i = 0; i < 8; ++i)
    count |= uint64_t{decoder.byte("count")} << (8 * i);
  // The shortest command is eight bytes, so a count that lies cannot make a large allocation.
  constexpr uint64_t kSmallest = 8;
  if (!decoder.status().ok() || count > (bytes.size() - decoder.position()) / kSmallest)
    return absl::DataLossError(absl::StrCat("command stream of ", bytes.size(),
                                            " bytes cannot hold the ", count,
                                            " commands it states"));
  std::vector<Command> commands;
  commands.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    Command command;
    const size_t start = decoder.position();
    std::optional<CommandArgs> args = argsOf(decoder.byte("opcode"));
    if (!args)
      return absl::DataLossError(absl::StrCat("command ", i, ": byte ", start, ": no such opcode"));
    command.args = *args;
    command.queue = queueOf(command.args);
    uint32_t layer = 0;
    decoder.field<uint32_t>("layer", layer);
    if (layer > static_cast<uint32_t>(std::numeric_limits<int32_t>::max()))
      decoder.fail("layer", "number is out of range");
    command.layer = static_cast<int32_t>(layer);
    decodeSemaphores(decoder, command);
    visitFields(decoder, command.args);
    absl::Status status = decoder.status();
    if (status.ok())
      status = checkCommand(command);
    if (!status.ok())
      return atCommand(i, status);
    commands.push_back(command);
  }
  if (!decoder.atEnd())
    return absl::DataLossError(absl::StrCat("byte ", decoder.position(), ": ",
                                            bytes.size() - decoder.position(),
                                            " bytes after the last command"));
  return commands;
}

std::string disassemble(const Command &command) {
  std::string out =
      absl::StrCat(mnemonic(command), " q=", name(command.queue), " layer=", command.layer);
  appendSemaphores(out, "wait", command.waits);
  appendSemaphores(out, "signal", command.signals);
  Command copy = command;
  Printer printer(out);
  visitFields(printer, copy.args);
  return out;
}

} // namespace sdopt
