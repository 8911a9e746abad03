#include "tools/sdopt-run/Tokenizer.h"
#include "compiler/files/WholeFile.h"
#include "tools/sdopt-run/Characters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

std::string file(const std::string &name) {
  absl::StatusOr<std::string> text = readFile(SDOPT_TESTDATA "/" + name);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() ? *text : "";
}

std::string tokenizerFile(const char *name) {
  return file(std::string("patterns-sd2/opset17-fp32/tokenizer/") + name);
}

Tokenizer patternsTokenizer() {
  absl::StatusOr<Tokenizer> tokenizer =
      Tokenizer::create(tokenizerFile("vocab.json"), tokenizerFile("merges.txt"),
                        tokenizerFile("tokenizer_config.json"));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return *tokenizer;
}

constexpr const char *kVocabulary =
    R"({"r": 0, "e": 1, "d</w>": 2, "re": 3, "red</w>": 4, "<s>": 5, "<e>": 6, "!": 7})";
constexpr const char *kMerges = "#version: 0.2\nr e\nre d</w>\n";

std::string createError(const std::string &vocabulary, const std::string &merges,
                        const std::string &configuration) {
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::create(vocabulary, merges, configuration);
  EXPECT_FALSE(tokenizer.ok());
  return std::string(tokenizer.status().message());
}

} // namespace

TEST(Tokenizer, AgreesWithTransformers) {
  Tokenizer tokenizer = patternsTokenizer();
  nlohmann::json goldens = nlohmann::json::parse(file("tokenizer/goldens.json"));
  ASSERT_GE(goldens["cases"].size(), 40u);
  for (const auto &golden : goldens["cases"]) {
    std::string text = golden["text"];
    std::vector<int64_t> expected = golden["ids"];
    expected.resize(77, tokenizer.endToken());
    absl::StatusOr<Tokens> tokens = tokenizer.encode(text);
    ASSERT_TRUE(tokens.ok()) << text << ": " << tokens.status().message();
    EXPECT_EQ(tokens->ids, expected) << text;
  }
}

TEST(Tokenizer, SaysWhenWordsDoNotFit) {
  Tokenizer tokenizer = patternsTokenizer();
  std::string text;
  for (int i = 0; i < 75; ++i)
    text += "1";
  EXPECT_FALSE(tokenizer.encode(text)->truncated);
  absl::StatusOr<Tokens> tokens = tokenizer.encode(text + "1");
  EXPECT_TRUE(tokens->truncated);
  EXPECT_EQ(tokens->ids.size(), 77u);
  EXPECT_EQ(tokens->ids.back(), tokenizer.endToken());
}

TEST(Tokenizer, RejectsTextItCannotDecide) {
  Tokenizer tokenizer = patternsTokenizer();
  auto message = [&](const std::string &text) {
    absl::StatusOr<Tokens> tokens = tokenizer.encode(text);
    EXPECT_FALSE(tokens.ok()) << text;
    return std::string(tokens.status().message());
  };
  EXPECT_THAT(message("e\xcc\x81"), HasSubstr("character U+0301"));
  EXPECT_THAT(message("\xd7\x90"), HasSubstr("character U+05d0"));
  EXPECT_THAT(message("ab\xff"), HasSubstr("byte 2 of the text is not UTF-8"));
  EXPECT_THAT(message("\xc0\x80"), HasSubstr("not UTF-8"));
  EXPECT_THAT(message("\xed\xa0\x80"), HasSubstr("not UTF-8"));
  EXPECT_THAT(message("\xf4\x90\x80\x80"), HasSubstr("not UTF-8"));
  EXPECT_THAT(message("a\xe2\x82"), HasSubstr("byte 1 of the text is not UTF-8"));
  EXPECT_THAT(message(std::string(20000, 'a')), HasSubstr("longer than 16384"));
}

TEST(Tokenizer, ReadsSpecialTokensInBothForms) {
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::create(
      kVocabulary, kMerges,
      R"({"model_max_length": 6, "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "<e>", "pad_token": "!"})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  EXPECT_THAT(tokenizer->encode("RED red")->ids, ::testing::ElementsAre(5, 4, 4, 6, 7, 7));
  EXPECT_THAT(tokenizer->encode("x<e>red!")->ids, ::testing::ElementsAre(5, 6, 6, 4, 7, 6));
}

TEST(Tokenizer, RejectsBadFiles) {
  const std::string good = R"({"model_max_length": 8, "bos_token": "<s>", "eos_token": "<e>"})";
  EXPECT_THAT(createError("[]", kMerges, good),
              HasSubstr("tokenizer/vocab.json: not a JSON object"));
  EXPECT_THAT(createError("{", kMerges, good),
              HasSubstr("tokenizer/vocab.json: not a JSON object"));
  EXPECT_THAT(createError(R"({"a": -1})", kMerges, good), HasSubstr("the id of token 'a'"));
  EXPECT_THAT(createError(R"({"a": "b"})", kMerges, good), HasSubstr("the id of token 'a'"));
  EXPECT_THAT(createError(kVocabulary, "r e d\n", good),
              HasSubstr("tokenizer/merges.txt: line 1: needed"));
  EXPECT_THAT(createError(kVocabulary, "#version\nre\n", good), HasSubstr("line 2"));
  EXPECT_THAT(createError(kVocabulary, "e r\n", good), HasSubstr("'er' is not in the vocabulary"));
  EXPECT_THAT(createError(kVocabulary, kMerges, "nonsense"),
              HasSubstr("tokenizer_config.json: not a JSON object"));
  EXPECT_THAT(createError(kVocabulary, kMerges, "{}"), HasSubstr("'model_max_length'"));
  EXPECT_THAT(createError(kVocabulary, kMerges, R"({"model_max_length": 1})"),
              HasSubstr("'model_max_length'"));
  EXPECT_THAT(createError(kVocabulary, kMerges, R"({"model_max_length": 8})"),
              HasSubstr("'bos_token' is '<|startoftext|>', which is not in the vocabulary"));
  EXPECT_THAT(createError(kVocabulary, kMerges, R"({"model_max_length": 8, "bos_token": 5})"),
              HasSubstr("'bos_token' is not a token"));
}

TEST(Characters, LowerCaseOfEachScript) {
  EXPECT_EQ(toLower(U'Q'), U'q');
  EXPECT_EQ(toLower(0xd7), 0xd7u);
  EXPECT_EQ(toLower(0x141), 0x142u);
  EXPECT_EQ(toLower(0x38e), 0x3cdu);
  EXPECT_EQ(toLower(0x401), 0x451u);
  EXPECT_EQ(classify(0x130), CharacterClass::Unknown);
  EXPECT_EQ(classify(0x1f600), CharacterClass::Other);
}
