#include "compiler/package/CommandCoding.h"
#include "compiler/files/WholeFile.h"
#include "compiler/package/CommandFields.h"
#include "compiler/package/CommandOperands.h"
#include "tests/package/SampleModule.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using test::randomArgs;
using test::randomCommand;
using testing::HasSubstr;

constexpr size_t kKinds = std::variant_size_v<CommandArgs>;

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::vector<Command> randomCommands(std::mt19937 &random, int count) {
  std::vector<Command> commands;
  for (int i = 0; i < count; ++i)
    commands.push_back(randomCommand(random));
  return commands;
}

TEST(CommandCoding, RoundTrip) {
  std::mt19937 random(1);
  const std::vector<Command> commands = randomCommands(random, 2000);
  ASSERT_TRUE(checkEncodable(commands).ok());
  const std::string bytes = encodeCommands(commands);
  const auto decoded = decodeCommands(bytesOf(bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    EXPECT_EQ(disassemble((*decoded)[i]), disassemble(commands[i]));
    EXPECT_EQ((*decoded)[i].queue, commands[i].queue);
    EXPECT_EQ((*decoded)[i].waits, commands[i].waits);
    EXPECT_EQ((*decoded)[i].signals, commands[i].signals);
  }
  EXPECT_EQ(encodeCommands(*decoded), bytes);
}

TEST(CommandCoding, EmptyStream) {
  const auto decoded = decodeCommands(bytesOf(encodeCommands({})));
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->empty());
}

// Whatever decodes is the one encoding of what it decodes to.
TEST(CommandCoding, EveryDamagedStreamIsRefusedOrCanonical) {
  std::mt19937 random(2);
  int accepted = 0;
  for (int round = 0; round < 40; ++round) {
    const std::string bytes = encodeCommands(randomCommands(random, 5));
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << random() % 8));
      const auto decoded = decodeCommands(bytesOf(damaged));
      if (decoded.ok()) {
        ++accepted;
        EXPECT_EQ(encodeCommands(*decoded), damaged);
      }
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(CommandCoding, RandomBytesNeverCrash) {
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(8 + random() % 200, '\0');
    for (char &byte : bytes)
      byte = static_cast<char>(random());
    for (size_t i = 1; i < 8; ++i)
      bytes[i] = 0;
    bytes[0] = static_cast<char>(random() % 4);
    if (random() % 2)
      bytes[8 % bytes.size()] = static_cast<char>(0x20 + random() % 10);
    const auto decoded = decodeCommands(bytesOf(bytes));
    if (decoded.ok()) {
      EXPECT_EQ(encodeCommands(*decoded), bytes);
    }
  }
}

TEST(CommandCoding, EveryTruncationIsRefused) {
  std::mt19937 random(4);
  const std::string bytes = encodeCommands(randomCommands(random, 30));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decodeCommands(bytesOf(bytes).first(size)).ok()) << size;
  EXPECT_THAT(std::string(decodeCommands(bytesOf(bytes + '\0')).status().message()),
              HasSubstr("1 bytes after the last command"));
}

TEST(CommandCoding, CountThatLiesAllocatesNothing) {
  std::string bytes(16, '\xff');
  const auto decoded = decodeCommands(bytesOf(bytes));
  EXPECT_THAT(std::string(decoded.status().message()), HasSubstr("cannot hold"));
}

TEST(CommandCoding, LongNumberIsRefused) {
  // One dma.load with layer 0 written as 80 00.
  std::string bytes(8, '\0');
  bytes[0] = 1;
  bytes += std::string("\x01\x80\x00\x00", 4) + std::string(20, '\x01');
  EXPECT_THAT(std::string(decodeCommands(bytesOf(bytes)).status().message()),
              HasSubstr("longer than it need be"));
}

TEST(CommandCoding, FieldThatDoesNotFitIsNamed) {
  Command command;
  DmaLoad load;
  load.sram = int64_t{1} << 32;
  command.args = load;
  EXPECT_THAT(std::string(checkEncodable({command}).message()),
              HasSubstr("command 0: field 'sram' is 4294967296, which its 32-bit unsigned field"));
  load.sram = -1;
  command.args = load;
  EXPECT_FALSE(checkEncodable({command}).ok());
  load.sram = 0;
  command.args = load;
  EXPECT_TRUE(checkEncodable({command}).ok());
  command.queue = Queue::Vector;
  EXPECT_THAT(std::string(checkEncodable({command}).message()),
              HasSubstr("dma.load is on queue vector"));
}

TEST(CommandCoding, OpcodesAreDistinctAndFound) {
  std::mt19937 random(5);
  for (size_t index = 0; index < kKinds; ++index) {
    const CommandArgs args = randomArgs(index, random);
    ASSERT_EQ(args.index(), index);
    const auto found = argsOf(static_cast<uint8_t>(opcodeOf(args)));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->index(), index);
  }
  EXPECT_FALSE(argsOf(0));
  EXPECT_FALSE(argsOf(0xFF));
}

TEST(CommandCoding, Disassembly) {
  Command command;
  DmaLoad load;
  load.dram = 96;
  load.shape.runBytes = 192;
  command.args = load;
  command.signals = {0, 1, 0, 2};
  command.waits = {0, 0, 3, 0};
  EXPECT_EQ(disassemble(command),
            "dma.load q=in layer=0 wait=vector:3 signal=array:1,out:2 region=arena dram=96 sram=0 "
            "counts=1x1x1 dram_strides=0x0x0 sram_strides=0x0x0 run=192");
}

/// Writes the rows of a field table as docs/isa.md has them.
struct DocumentedFields {
  std::vector<std::string> rows;

  template <typename Wire> static std::string typeName() {
    return absl::StrFormat("%s%d", std::is_signed_v<Wire> ? "i" : "u", 8 * sizeof(Wire));
  }
  void row(const std::string &name, const std::string &type) {
    rows.push_back("| " + name + " | " + type + " |");
  }
  template <typename Wire, typename Value> void field(const char *name, Value &) {
    row(name, typeName<Wire>());
  }
  template <typename Wire, typename... Values> void list(const char *name, Values &...) {
    row(name, absl::StrFormat("%s[%d]", typeName<Wire>(), sizeof...(Values)));
  }
  template <typename Wire, typename Values> void numbers(const char *name, Values &values) {
    row(name, absl::StrFormat("%s[%d]", typeName<Wire>(), values.size()));
  }
  void format(const char *name, CodeFormat &) { row(name, "format"); }
  void flag(const char *name, bool &) { row(name, "flag"); }
  void region(const char *name, Region &) { row(name, "region"); }
  void form(const char *name, WeightForm &) { row(name, "form"); }
};

TEST(CommandCoding, InstructionSetPageListsEveryOpcodeAndField) {
  const auto page = readFile(std::string(SDOPT_SOURCE) + "/docs/isa.md");
  ASSERT_TRUE(page.ok()) << page.status();
  std::mt19937 random(6);
  for (int opcode = 0; opcode < 256; ++opcode) {
    const std::optional<CommandArgs> kind = argsOf(static_cast<uint8_t>(opcode));
    if (!kind)
      continue;
    Command command;
    command.args = randomArgs(kind->index(), random);
    if (static_cast<int>(opcodeOf(command.args)) != opcode)
      command.args = *kind;
    const std::string heading = absl::StrFormat("### `%s`, opcode 0x%02X\n", mnemonic(command),
                                                static_cast<int>(opcodeOf(command.args)));
    size_t at = page->find(heading);
    ASSERT_NE(at, std::string::npos) << heading;
    const std::string section = page->substr(at, page->find("\n#", at + 1) - at);
    DocumentedFields fields;
    visitFields(fields, command.args);
    size_t place = 0;
    for (const std::string &row : fields.rows) {
      place = section.find(row, place);
      ASSERT_NE(place, std::string::npos) << heading << row;
      ++place;
    }
  }
}

TEST(CommandCoding, ShiftsOfProductsComeBack) {
  std::mt19937 random(9);
  Command command;
  do
    command.args = randomArgs(3, random);
  while (opcodeOf(command.args) != Opcode::ConvWinograd4);
  command.queue = Queue::Array;
  const auto decoded = decodeCommands(bytesOf(encodeCommands({command})));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto &conv = std::get<ConvCommand>(command.args);
  EXPECT_TRUE(std::get<ConvCommand>((*decoded)[0].args).taps == conv.taps);
  EXPECT_EQ(std::get<ConvCommand>((*decoded)[0].args).winograd, WinogradForm::F4x4);
  EXPECT_THAT(disassemble(command), HasSubstr("conv.winograd4 q=array"));
  EXPECT_THAT(disassemble(command),
              HasSubstr(" code_shifts=[" + absl::StrJoin(conv.taps.codes, ", ") +
                        "] weight_shifts=[" + absl::StrJoin(conv.taps.weights, ", ") + "]"));
  const auto problem = [&](auto change) {
    Command other = command;
    change(std::get<ConvCommand>(other.args));
    return std::string(decodeCommands(bytesOf(encodeCommands({other}))).status().message());
  };
  EXPECT_THAT(problem([](ConvCommand &c) { c.taps.codes[0] = 16; }),
              HasSubstr("field 'code_shifts' is 16; needs at most 15"));
  EXPECT_THAT(problem([](ConvCommand &c) { c.taps.weights[35] = 255; }),
              HasSubstr("field 'weight_shifts' is 255; needs at most 15"));
  EXPECT_THAT(problem([](ConvCommand &c) { c.tile.strideH = 2; }),
              HasSubstr("conv.winograd4: needs a 3x3 window of stride and dilation 1"));
  EXPECT_EQ(problem([](ConvCommand &c) { c.tile.inputChannels = 5000; }), "");
}

TEST(CommandCoding, HostileWeightStreamsAreRefused) {
  DmaWeights sound;
  sound.form = {WeightCoding::Grouped, 4, 64, true, false};
  sound.block = {3, 9, 100, 5};
  sound.bytes = storedBytes(sound.form, sound.block);
  const auto problem = [&](auto change) {
    Command command;
    DmaWeights args = sound;
    change(args);
    command.args = args;
    return std::string(checkCommand(command).message());
  };
  EXPECT_EQ(problem([](DmaWeights &) {}), "");
  EXPECT_THAT(problem([](DmaWeights &c) { c.bytes += 1; }), HasSubstr("'bytes' is"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.form.bits = 9; }), HasSubstr("bits is 9"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.form.bits = 0; }), HasSubstr("bits is 0"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.form.groupSize = 5; }), HasSubstr("'first' is 5"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.form.groupSize = 9; }), HasSubstr("group size is 9"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.block.firstInGroup = 64; }),
              HasSubstr("'first' is 64"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.block.taps = 0; }), HasSubstr("'block' is 0"));
  EXPECT_THAT(problem([](DmaWeights &c) {
                c.form = {};
                c.block.firstInGroup = 0;
              }),
              HasSubstr("'coding' is 0"));
  EXPECT_THAT(problem([](DmaWeights &c) {
                c.block = {4294967295, 4294967295, 4294967295};
                c.bytes = 4294967295;
              }),
              HasSubstr("more weights than SRAM"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.form.zeros = ZeroLayout::Structured; }),
              HasSubstr("run is 0"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.form.lanes = 257; }), HasSubstr("lanes is 257"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.block.firstInRun = 1; }), HasSubstr("'first_in_run'"));
  EXPECT_THAT(problem([](DmaWeights &c) { c.block.firstInPalette = 1; }),
              HasSubstr("'first_output'"));
  // A stream that may be shorter may not be longer.
  EXPECT_EQ(problem([](DmaWeights &c) {
              c.form.lanes = 16;
              c.bytes -= 1;
            }),
            "");
  EXPECT_THAT(problem([](DmaWeights &c) {
                c.form.lanes = 16;
                c.bytes += 1;
              }),
              HasSubstr("stored in at most"));
  EXPECT_THAT(problem([](DmaWeights &c) {
                c.form.lanes = 16;
                c.bytes = 0;
              }),
              HasSubstr("'bytes' is 0"));
}

TEST(CommandOperands, SizesThatOverflowNeverFit) {
  Program program;
  program.sramBytes = int64_t{1} << 30;
  program.arenaBytes = program.constantsBytes = int64_t{1} << 40;
  std::mt19937 random(7);
  for (size_t index = 0; index < kKinds; ++index) {
    Command command;
    command.args = randomArgs(index, random);
    command.queue = queueOf(command.args);
    ASSERT_TRUE(checkCommand(command).ok()) << checkCommand(command);
    EXPECT_FALSE(sramOperands(command.args).empty());
    for (const SramOperand &operand : sramOperands(command.args))
      EXPECT_GT(operand.bytes, 0) << mnemonic(command) << " " << operand.name;
  }
  Command huge;
  DmaLoad load;
  load.shape.counts = {4294967295, 4294967295, 4294967295};
  load.shape.sramStrides = {4294967295, 4294967295, 4294967295};
  load.shape.runBytes = 4294967295;
  huge.args = load;
  program.commands = {huge};
  EXPECT_FALSE(checkCommands(program, 1).ok());
  load.shape.sramStrides = {0, 0, 0};
  load.shape.runBytes = 1;
  huge.args = load;
  program.commands = {huge};
  EXPECT_THAT(std::string(checkCommands(program, 1).message()), HasSubstr("moves"));
}

TEST(CommandOperands, MisalignedAndOutsideOperandsAreNamed) {
  Program program = test::sampleModule().program;
  ASSERT_TRUE(checkCommands(program, 1).ok()) << checkCommands(program, 1);
  auto &conv = std::get<ConvCommand>(program.commands[3].args);
  conv.accumulator += 4;
  EXPECT_THAT(
      std::string(checkCommands(program, 1).message()),
      HasSubstr("command 3: conv: operand 'accumulator' at sram offset 644 is not aligned"));
  conv.accumulator = 2048;
  EXPECT_THAT(
      std::string(checkCommands(program, 1).message()),
      HasSubstr("operand 'accumulator' is 1536 bytes at 2048, outside the 2560 bytes of sram"));
  conv.accumulator = 640;
  program.commands[3].layer = 1;
  EXPECT_THAT(std::string(checkCommands(program, 1).message()),
              HasSubstr("layer 1 of a module of 1"));
}

} // namespace
} // namespace sdopt
