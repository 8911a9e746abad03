#include "compiler/files/WholeFile.h"
#include "compiler/package/Crc32c.h"
#include "compiler/package/Describe.h"
#include "compiler/package/FileLayout.h"
#include "compiler/package/Manifest.h"
#include "compiler/package/manifest.pb.h"
#include "tests/package/SampleModule.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <unistd.h>

namespace sdopt {
namespace {

using test::sampleModule;
using testing::HasSubstr;

class PackageTest : public testing::Test {
protected:
  void SetUp() override {
    const auto *info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("sdopt-package-") + info->name() + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string &name = "a.sdnpu") const { return folder_ / name; }
  std::string bytesOfSample() const {
    EXPECT_TRUE(test::writeSamplePackage(path()).ok());
    return *readFile(path());
  }
  absl::StatusOr<std::unique_ptr<Package>> openBytes(const std::string &bytes) const {
    // A new file each time: some file systems flush one that is truncated and rewritten.
    std::filesystem::remove(path("damaged.sdnpu"));
    std::ofstream(path("damaged.sdnpu"), std::ios::binary) << bytes;
    return Package::open(path("damaged.sdnpu"));
  }
  /// Status of opening a file with these bytes.
  absl::Status open(const std::string &bytes) const { return openBytes(bytes).status(); }

  std::filesystem::path folder_;
};

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Makes all checksums right again after contents were changed.
std::string resealed(std::string file) {
  const auto seal = [&](size_t begin, size_t size) {
    const uint32_t crc = crc32c(bytesOf(file).subspan(begin, size - 4));
    for (int i = 0; i < 4; ++i)
      file[begin + size - 4 + i] = static_cast<char>(crc >> (8 * i));
  };
  const auto number = [&](size_t at) {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i)
      value |= uint64_t{static_cast<uint8_t>(file[at + i])} << (8 * i);
    return static_cast<size_t>(value);
  };
  for (size_t entry = number(32); entry + 64 < file.size(); entry += 64) {
    const size_t offset = number(entry + 8), size = number(entry + 16);
    if (offset > file.size() || size > file.size() - offset)
      continue;
    const uint32_t crc = crc32c(bytesOf(file).subspan(offset, size));
    for (int i = 0; i < 4; ++i)
      file[entry + 24 + i] = static_cast<char>(crc >> (8 * i));
    seal(entry, 64);
  }
  seal(0, 64);
  seal(file.size() - 64, 64);
  return file;
}

TEST_F(PackageTest, WhatIsWrittenIsRead) {
  ASSERT_TRUE(test::writeSamplePackage(path()).ok()) << test::writeSamplePackage(path());
  const auto package = Package::open(path());
  ASSERT_TRUE(package.ok()) << package.status();
  EXPECT_TRUE((*package)->checkDigest().ok()) << (*package)->checkDigest();
  EXPECT_EQ((*package)->fileBytes(), static_cast<int64_t>(std::filesystem::file_size(path())));
  ASSERT_EQ((*package)->modules().size(), 2u);
  const PackageModule *module = (*package)->find("second");
  ASSERT_NE(module, nullptr);
  EXPECT_EQ((*package)->find("third"), nullptr);

  PackageManifest written, found;
  written.modules = {sampleModule("second")};
  found.modules = {module->info};
  EXPECT_EQ(encodeManifest(found), encodeManifest(written));
  EXPECT_EQ(encodeCommands(module->info.program.commands),
            encodeCommands(written.modules[0].program.commands));
  const std::vector<std::byte> constants = test::sampleConstants(written.modules[0]);
  EXPECT_TRUE(std::equal(constants.begin(), constants.end(), module->constants.begin(),
                         module->constants.end()));
  ASSERT_EQ((*package)->assets().size(), 2u);
  EXPECT_EQ((*package)->assets()[0].bytes, "{\"a\": 0}");
  EXPECT_EQ((*package)->assets()[1].name, "scheduler/empty");
  const Provenance expected = test::sampleProvenance(), provenance = (*package)->provenance();
  EXPECT_EQ(provenance.inputDigests, expected.inputDigests);
  EXPECT_EQ(provenance.targetDigest, expected.targetDigest);
  EXPECT_EQ(provenance.statisticsDigest, expected.statisticsDigest);
  EXPECT_EQ(provenance.recipe, expected.recipe);
  for (const auto &entry : std::filesystem::directory_iterator(folder_))
    EXPECT_EQ(entry.path().string().find(".partial"), std::string::npos) << entry.path();
}

TEST_F(PackageTest, SameBytesTwice) {
  ASSERT_TRUE(test::writeSamplePackage(path("a")).ok());
  ASSERT_TRUE(test::writeSamplePackage(path("b")).ok());
  EXPECT_EQ(*readFile(path("a")), *readFile(path("b")));
}

// The format is frozen: a change of these bytes is a change of the format.
TEST_F(PackageTest, HeaderBytes) {
  const std::string file = bytesOfSample();
  EXPECT_EQ(file.substr(0, 24), std::string("\x89SDNPU\r\n\x04\0\0\0\x0D\x0C\x0B\x0A\x40\0\0\0"
                                            "\x07\0\0\0",
                                            24));
  EXPECT_EQ(file.substr(40, 16), std::string(16, '\xaa'));
  EXPECT_EQ(file.substr(file.size() - 64, 8), "SDNPUEND");
}

TEST_F(PackageTest, EveryFlippedByteIsRefused) {
  const std::string file = bytesOfSample();
  std::mt19937 random(1);
  for (size_t i = 0; i < file.size(); ++i) {
    // Long stretches of padding are sampled.
    if (file[i] == 0 && i > 256 && i + 1024 < file.size() && random() % 23 != 0)
      continue;
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << random() % 8));
    const absl::Status status = open(damaged);
    ASSERT_FALSE(status.ok()) << "byte " << i;
    EXPECT_THAT(std::string(status.message()), HasSubstr("damaged.sdnpu: ")) << i;
  }
}

TEST_F(PackageTest, EveryTruncationAndExtensionIsRefused) {
  const std::string file = bytesOfSample();
  for (size_t size = 0; size < file.size(); size += size < 128 ? 1 : 61)
    EXPECT_FALSE(open(file.substr(0, size)).ok()) << size;
  EXPECT_FALSE(open(file + '\0').ok());
  EXPECT_FALSE(open(file + std::string(4096, '\0')).ok());
}

// Damage with right checksums: only the structure itself can tell.
TEST_F(PackageTest, ResealedDamageNeverCrashes) {
  const std::string file = bytesOfSample();
  ASSERT_EQ(resealed(file), file);
  std::mt19937 random(2);
  int refused = 0, rounds = 0;
  for (size_t i = 0; i < file.size(); ++i) {
    if (file[i] == 0 && random() % 41 != 0)
      continue;
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << random() % 8));
    ++rounds;
    // A table that moved would be resealed at the wrong place: the file is just damaged then.
    if (i >= 24 && i < 40)
      continue;
    damaged = resealed(damaged);
    if (damaged == file)
      continue;
    const auto opened = openBytes(damaged);
    refused += !opened.ok();
    if (opened.ok()) {
      EXPECT_FALSE((*opened)->checkDigest().ok()) << i;
    }
  }
  EXPECT_GT(refused, rounds / 4);
}

TEST_F(PackageTest, ErrorsNameFileSectionAndOffset) {
  const std::string file = bytesOfSample();
  std::string damaged = file;
  damaged[8192] ^= 1;
  EXPECT_THAT(std::string(open(damaged).message()),
              HasSubstr("damaged.sdnpu: section commands 0 at offset 8192: checksum"));
  EXPECT_THAT(
      std::string(
          open("not a package at all, but long enough to be read as a header....").message()),
      HasSubstr("offset 0: not a .sdnpu package"));
  EXPECT_THAT(std::string(open("").message()), HasSubstr("damaged.sdnpu"));
  EXPECT_FALSE(Package::open(path("missing")).ok());
  damaged = file;
  damaged[8] = 5;
  EXPECT_THAT(std::string(open(resealed(damaged)).message()), HasSubstr("format version 5.0"));
  damaged = file;
  damaged[8192 + 8] = 0x55; // opcode of the first command
  EXPECT_THAT(std::string(open(resealed(damaged)).message()),
              HasSubstr("section commands 0 at offset 8192: command 0: byte 8: no such opcode"));
}

TEST_F(PackageTest, NothingIsLeftBehindWithoutFinish) {
  const ModuleInfo module = sampleModule();
  {
    auto writer = PackageWriter::create(path());
    ASSERT_TRUE(writer.ok());
    EXPECT_TRUE(std::filesystem::exists((*writer)->partialPath()));
    const absl::Status status = (*writer)->addModule(
        module, [](ConstantId) { return absl::DataLossError("weights are gone"); });
    EXPECT_THAT(std::string(status.message()), HasSubstr("'conv_in.weight': weights are gone"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_FALSE(PackageWriter::create(path("no/such/folder")).ok());
  EXPECT_FALSE(test::writeSamplePackage("/dev/full/x").ok());
}

TEST_F(PackageTest, DevicesAndFoldersStay) {
  EXPECT_THAT(std::string(PackageWriter::create("/dev/null").status().message()),
              HasSubstr("'/dev/null': it is there already and is no regular file"));
  EXPECT_THAT(std::string(PackageWriter::create(folder_.string()).status().message()),
              HasSubstr("is a folder"));
}

TEST_F(PackageTest, IsSeenOnlyWhenPublished) {
  auto writer = PackageWriter::create(path());
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->complete(test::sampleProvenance()).ok());
  EXPECT_TRUE(Package::open((*writer)->partialPath()).ok());
  EXPECT_FALSE(std::filesystem::exists(path()));
  ASSERT_TRUE((*writer)->publish().ok());
  EXPECT_TRUE(Package::open(path()).ok());
  EXPECT_FALSE(std::filesystem::exists((*writer)->partialPath()));
}

TEST_F(PackageTest, WriterRefusesWhatCannotBeRead) {
  const auto refusal = [&](const ModuleInfo &module) {
    auto writer = PackageWriter::create(path());
    const auto source = [&](ConstantId id) { return test::sampleConstant(module, id); };
    return std::string((*writer)->addModule(module, source).message());
  };
  EXPECT_EQ(refusal(sampleModule()), "");
  ModuleInfo module = sampleModule();
  module.network.layers[0].inputs = {5};
  EXPECT_THAT(refusal(module), HasSubstr("layer 0 'conv_in' names tensor 5 of 2"));
  module = sampleModule();
  std::get<MatrixLayer>(module.network.layers[0].spec).params = 0;
  EXPECT_THAT(refusal(module), HasSubstr("another kind as params"));
  module = sampleModule();
  module.network.tensors[1].dims[2] = 0;
  EXPECT_THAT(refusal(module), HasSubstr("has dimension 0"));
  module = sampleModule();
  module.network.tensors[1].dims = {1 << 30, 1 << 30, 1 << 30, 1 << 30};
  EXPECT_THAT(refusal(module), HasSubstr("outside the arena of 768"));
  module = sampleModule();
  module.constantOffsets[1] = 100;
  EXPECT_THAT(refusal(module), HasSubstr("overlaps the constant before it"));
  module = sampleModule();
  module.network.tensors[0].aliasOf = 1;
  EXPECT_THAT(refusal(module), HasSubstr("alias"));
  module = sampleModule();
  module.network.tensors[0].scale = 0;
  EXPECT_THAT(refusal(module), HasSubstr("scale 0"));
  module = sampleModule();
  module.plan.layers[0].tiling.inputChannels = 0;
  EXPECT_THAT(refusal(module), HasSubstr("tile size 0"));
  module = sampleModule();
  module.program.commands[0].layer = 9;
  EXPECT_THAT(refusal(module), HasSubstr("layer 9"));
  module = sampleModule();
  module.network.tensors[1].name = "sample";
  EXPECT_THAT(refusal(module), HasSubstr("has no name of its own"));
}

TEST(Manifest, EveryLayerKindSurvives) {
  ModuleInfo module = sampleModule();
  const std::vector<LayerSpec> specs = {MatrixLayer{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                        CombineLayer{{{-3, 4, 30}, true}, 7},
                                        TableLayer{3},
                                        GegluLayer{{{5, 30}}, 6},
                                        NormLayer{{100, ~uint64_t{0}, 33, false}, 4, true, 5},
                                        AttentionLayer{{{1, 26}, {2, 27}, true}, 8},
                                        UpsampleLayer{3, 4},
                                        PermuteLayer{{3, 1, 0, 2}},
                                        EmbeddingLayer{31, 49408, 1, 2, 3, 4},
                                        TimeEmbeddingLayer{{160, false, 16}, 1, 2},
                                        PoolTokenLayer{49407},
                                        ModulateLayer{{1, 2, 3, 4}},
                                        SliceLayer{{1, 2, 3, 4}},
                                        ConstantLayer{5}};
  ASSERT_EQ(specs.size(), std::variant_size_v<LayerSpec>);
  const Layer layer = module.network.layers[0];
  const LayerPlan plan = module.plan.layers[0];
  module.network.layers.clear();
  module.plan.layers.clear();
  for (const LayerSpec &spec : specs) {
    module.network.layers.push_back(layer);
    module.network.layers.back().spec = spec;
    module.plan.layers.push_back(plan);
  }
  PackageManifest manifest;
  manifest.modules = {module};
  const std::string bytes = encodeManifest(manifest);
  const auto decoded = decodeManifest(bytesOf(bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const std::vector<Layer> &layers = decoded->modules[0].network.layers;
  ASSERT_EQ(layers.size(), specs.size());
  EXPECT_EQ(encodeManifest(*decoded), bytes);
  for (size_t i = 0; i < specs.size(); ++i)
    EXPECT_EQ(layers[i].spec.index(), i);
  // Positional initializers above give every field a value of its own.
  const auto &matrix = std::get<MatrixLayer>(layers[0].spec);
  EXPECT_EQ(matrix.kernelWidth, 2);
  EXPECT_EQ(matrix.padRight, 10);
  EXPECT_EQ(matrix.params, 12);
  const auto &combine = std::get<CombineLayer>(layers[1].spec);
  EXPECT_EQ(combine.params.scaling, (PairScaling{-3, 4, 30}));
  EXPECT_TRUE(combine.params.broadcastRows);
  EXPECT_EQ(combine.channelOffset, 7);
  const auto &norm = std::get<NormLayer>(layers[4].spec);
  EXPECT_EQ(norm.params.epsilon, ~uint64_t{0});
  EXPECT_EQ(norm.groups, 4);
  EXPECT_EQ(norm.channels, 5);
  const auto &attention = std::get<AttentionLayer>(layers[5].spec);
  EXPECT_EQ(attention.params.output, (Scaling{2, 27}));
  EXPECT_EQ(attention.heads, 8);
  EXPECT_EQ(std::get<PermuteLayer>(layers[7].spec).permutation, (std::array{3, 1, 0, 2}));
  EXPECT_EQ(std::get<EmbeddingLayer>(layers[8].spec).positionMultipliers, 4);
  EXPECT_EQ(std::get<PoolTokenLayer>(layers[10].spec).token, 49407);
}

/// The sample with its convolution by F(4x4, 3x3).
ModuleInfo tapWiseModule() {
  ModuleInfo module = sampleModule();
  auto &spec = std::get<MatrixLayer>(module.network.layers[0].spec);
  spec.winograd = WinogradForm::F4x4;
  for (size_t i = 0; i < spec.taps.codes.size(); ++i) {
    spec.taps.codes[i] = static_cast<uint8_t>(i % 16);
    spec.taps.weights[i] = static_cast<uint8_t>(15 - i % 16);
  }
  for (Command &command : module.program.commands)
    if (auto *conv = std::get_if<ConvCommand>(&command.args)) {
      conv->winograd = spec.winograd;
      conv->taps = spec.taps;
    }
  return module;
}

TEST_F(PackageTest, ShiftsOfProductsNeedTheirVersion) {
  const auto written = [&](const ModuleInfo &module) {
    auto writer = PackageWriter::create(path());
    const auto source = [&](ConstantId id) { return test::sampleConstant(module, id); };
    const absl::Status added = (*writer)->addModule(module, source);
    EXPECT_TRUE(added.ok()) << added;
    EXPECT_TRUE((*writer)->finish(test::sampleProvenance()).ok());
    return *readFile(path());
  };
  EXPECT_EQ(written(sampleModule())[10], 0);
  std::string file = written(tapWiseModule());
  EXPECT_EQ(file[10], 2);
  const auto package = Package::open(path());
  ASSERT_TRUE(package.ok()) << package.status();
  const ModuleInfo &module = (*package)->modules()[0].info;
  const auto &spec = std::get<MatrixLayer>(module.network.layers[0].spec);
  EXPECT_EQ(spec.winograd, WinogradForm::F4x4);
  EXPECT_TRUE(spec.taps == std::get<MatrixLayer>(tapWiseModule().network.layers[0].spec).taps);
  for (char minor : {0, 1}) {
    file[10] = minor;
    EXPECT_THAT(std::string(open(resealed(file)).message()),
                HasSubstr("is of format version 4.2; the header says 4."));
  }
  ModuleInfo other = tapWiseModule();
  std::get<MatrixLayer>(other.network.layers[0].spec).taps.codes[4] = 16;
  auto writer = PackageWriter::create(path());
  EXPECT_THAT(
      std::string(
          (*writer)
              ->addModule(other, [&](ConstantId id) { return test::sampleConstant(other, id); })
              .message()),
      HasSubstr("has a shift of 16; needs 0..15"));
}

TEST_F(PackageTest, CommandsHaveTheShiftsOfTheirLayer) {
  const auto written = [&](const ModuleInfo &module) {
    auto writer = PackageWriter::create(path());
    const auto source = [&](ConstantId id) { return test::sampleConstant(module, id); };
    const absl::Status status = (*writer)->addModule(module, source);
    return status.ok() ? (*writer)->finish(test::sampleProvenance()) : status;
  };
  ASSERT_TRUE(written(tapWiseModule()).ok());
  const std::string file = *readFile(path());
  // The commands section comes first, the manifest last; both have them as bytes.
  const TapShifts shifts = std::get<MatrixLayer>(tapWiseModule().network.layers[0].spec).taps;
  std::string bytes(shifts.codes.begin(), shifts.codes.end());
  bytes.append(shifts.weights.begin(), shifts.weights.end());
  const size_t inCommands = file.find(bytes), inManifest = file.rfind(bytes);
  ASSERT_LT(inCommands, inManifest);
  ASSERT_NE(inManifest, std::string::npos);
  const auto refusal = [&](size_t byte, char shift) {
    std::string damaged = file;
    damaged[byte] = shift;
    return std::string(open(resealed(damaged)).message());
  };
  EXPECT_EQ(refusal(inManifest + 7, 7), "");
  EXPECT_THAT(refusal(inManifest + 7, 12),
              HasSubstr("section commands 0 at offset 8192: module 'example': command 3 "
                        "(conv.winograd4) of layer 'conv_in' has shift 7 of codes at row 1, column "
                        "1; its layer has 12"));
  EXPECT_THAT(refusal(inCommands + 36 + 35, 0),
              HasSubstr("has shift 0 of weights at row 5, column 5; its layer has 12"));
  ModuleInfo module = tapWiseModule();
  std::get<MatrixLayer>(module.network.layers[0].spec).taps.codes[0] = 1;
  EXPECT_THAT(std::string(written(module).message()),
              HasSubstr("module 'example': command 3 (conv.winograd4) of layer 'conv_in' has shift "
                        "0 of codes at row 0, column 0; its layer has 1"));
  // Other forms differ likewise.
  module = sampleModule();
  std::get<ConvCommand>(module.program.commands[3].args).winograd = WinogradForm::F2x2;
  EXPECT_THAT(std::string(written(module).message()),
              HasSubstr("(conv.winograd) of layer 'conv_in' is by winograd; its layer is not by "
                        "winograd"));
}

TEST(Manifest, HostileShiftsAreRefused) {
  const auto refusal = [](auto change) {
    manifest::Manifest message;
    PackageManifest manifest;
    manifest.modules = {tapWiseModule()};
    EXPECT_TRUE(message.ParseFromString(encodeManifest(manifest)));
    change(*message.mutable_modules(0)->mutable_layers(0)->mutable_matrix());
    return std::string(decodeManifest(bytesOf(message.SerializeAsString())).status().message());
  };
  EXPECT_EQ(refusal([](manifest::MatrixSpec &) {}), "");
  EXPECT_THAT(refusal([](manifest::MatrixSpec &m) { m.mutable_tap_shifts()->pop_back(); }),
              HasSubstr("has 71 shifts of F(4x4, 3x3); needs 72"));
  EXPECT_THAT(refusal([](manifest::MatrixSpec &m) { m.set_winograd(true); }),
              HasSubstr("has shifts of F(4x4, 3x3) and is by F(2x2, 3x3)"));
}

TEST_F(PackageTest, DescriptionNamesEverything) {
  ASSERT_TRUE(test::writeSamplePackage(path()).ok());
  const auto package = Package::open(path());
  ASSERT_TRUE(package.ok());
  const std::string text = describePackage(**package);
  for (const char *word :
       {"format        4.0", "commands", "constants", "asset", "module first", "module second",
        "tokenizer/vocab.json", "unet/model.onnx", "sample  1x8x6x4 i16", "onnx 1x4x8x6", "1 conv"})
    EXPECT_THAT(text, HasSubstr(word));
  EXPECT_THAT(describeSections(**package), HasSubstr("manifest"));
  EXPECT_THAT(describeHeader(**package), HasSubstr("sections      7"));
}

TEST(MemoryMap, TextIsEightyColumnsAndShowsLifetimes) {
  PackageModule module;
  module.info = sampleModule();
  const std::string text = memoryMapText(module);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    EXPECT_LE(line.size(), 80u) << line;
  EXPECT_THAT(text, HasSubstr("           0 |a|"));
  EXPECT_THAT(text, HasSubstr("         384 |b|"));
  EXPECT_THAT(text, HasSubstr("b          384          384     0..0     conv_in"));
  const std::string svg = memoryMapSvg(module);
  EXPECT_THAT(svg, HasSubstr("conv_in: 384 bytes at 384, layers 0 to 0"));
  EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
}

TEST(MemoryMap, HostileNamesAreEscaped) {
  PackageModule module;
  module.info = sampleModule("<script>&");
  EXPECT_THAT(memoryMapSvg(module), HasSubstr("&lt;script&gt;&amp;"));
  module.info.network.layers.clear();
  module.info.program.arenaBytes = 0;
  EXPECT_THAT(memoryMapText(module), HasSubstr("0 bytes over 0 layers"));
}

} // namespace
} // namespace sdopt
