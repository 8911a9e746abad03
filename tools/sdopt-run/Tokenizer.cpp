//===- Tokenizer.cpp - CLIP byte-pair tokenizer ---------------------------===//

#include "tools/sdopt-run/Tokenizer.h"

#include "absl/strings/str_cat.h"
#include "tools/sdopt-run/Characters.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <sstream>

namespace sdopt {

namespace {

constexpr size_t kLongestText = 16 * 1024;
constexpr const char *kWordEnd = "</w>";
constexpr const char *kConfigurationFile = "tokenizer/tokenizer_config.json";

using Characters = std::vector<char32_t>;

/// Printable Latin-1 bytes stand for themselves, the others for U+0100, U+0101, ... in order: the
/// map that byte-level vocabularies are written in.
std::array<std::string, 256> byteSymbols() {
  std::array<std::string, 256> symbols;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    bool printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    appendUtf8(printable ? byte : next++, symbols[byte]);
  }
  return symbols;
}

absl::Status badFile(const std::string &file, const std::string &what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", what));
}

std::string codePoint(char32_t character) {
  return absl::StrCat("U+", absl::Hex(static_cast<uint32_t>(character), absl::kZeroPad4));
}

/// Lower case, each run of white space one blank.
absl::StatusOr<Characters> normalize(const std::string &text) {
  absl::StatusOr<Characters> decoded = decodeUtf8(text);
  if (!decoded.ok())
    return decoded.status();
  Characters clean;
  for (char32_t character : *decoded) {
    CharacterClass kind = classify(character);
    if (kind == CharacterClass::Unknown)
      return absl::InvalidArgumentError(
          absl::StrCat("character ", codePoint(character),
                       " of the text is outside the scripts that the tokenizer knows; "
                       "write it with Latin, Greek, Cyrillic, kana, Han or Hangul letters, accents "
                       "composed (NFC)"));
    if (kind != CharacterClass::Space)
      clean.push_back(toLower(character));
    else if (clean.empty() || clean.back() != U' ')
      clean.push_back(U' ');
  }
  return clean;
}

bool startsWith(const Characters &text, size_t at, const std::string &ascii) {
  if (at + ascii.size() > text.size())
    return false;
  for (size_t i = 0; i < ascii.size(); ++i)
    if (text[at + i] != static_cast<char32_t>(ascii[i]))
      return false;
  return true;
}

size_t runEnd(const Characters &text, size_t at, CharacterClass kind) {
  while (at < text.size() && classify(text[at]) == kind)
    ++at;
  return at;
}

/// End of the word that begins at `at` (not white space).
size_t wordEnd(const Characters &text, size_t at) {
  for (const char *contraction : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (startsWith(text, at, contraction))
      return at + std::char_traits<char>::length(contraction);
  CharacterClass kind = classify(text[at]);
  return kind == CharacterClass::Number ? at + 1 : runEnd(text, at, kind);
}

/// A special token that lower case made (written as such it was found before) is three words of its
/// own: it does not join the punctuation behind it.
bool splitSpecial(const Characters &text, size_t &at, std::vector<std::string> &words) {
  for (const char *inner : {"startoftext", "endoftext"}) {
    std::string token = absl::StrCat("<|", inner, "|>");
    if (!startsWith(text, at, token))
      continue;
    words.insert(words.end(), {"<|", inner, "|>"});
    at += token.size();
    return true;
  }
  return false;
}

std::vector<std::string> splitWords(const Characters &text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (splitSpecial(text, at, words))
      continue;
    if (classify(text[at]) == CharacterClass::Space) {
      ++at;
      continue;
    }
    size_t end = wordEnd(text, at);
    std::string &word = words.emplace_back();
    for (; at < end; ++at)
      appendUtf8(text[at], word);
  }
  return words;
}

/// A token given as "text" or as {"content": "text", ...}; empty if absent.
absl::StatusOr<std::string> tokenText(const nlohmann::json &configuration, const char *key) {
  auto entry = configuration.find(key);
  if (entry == configuration.end() || entry->is_null())
    return std::string();
  if (entry->is_string())
    return entry->get<std::string>();
  if (entry->is_object() && entry->contains("content") && (*entry)["content"].is_string())
    return (*entry)["content"].get<std::string>();
  return badFile(kConfigurationFile, absl::StrCat("'", key, "' is not a token"));
}

} // namespace

absl::StatusOr<Tokenizer> Tokenizer::create(const std::string &vocabulary,
                                            const std::string &merges,
                                            const std::string &configuration) {
  Tokenizer tokenizer;
  tokenizer.symbols_ = byteSymbols();
  if (absl::Status status = tokenizer.readVocabulary(vocabulary); !status.ok())
    return status;
  if (absl::Status status = tokenizer.readMerges(merges); !status.ok())
    return status;
  if (absl::Status status = tokenizer.readConfiguration(configuration); !status.ok())
    return status;
  return tokenizer;
}

absl::Status Tokenizer::readVocabulary(const std::string &text) {
  const std::string file = "tokenizer/vocab.json";
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.empty())
    return badFile(file, "not a JSON object of tokens and ids");
  for (const auto &[token, id] : json.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > std::numeric_limits<int32_t>::max())
      return badFile(
          file, absl::StrCat("the id of token '", token, "' is not a number from 0 to 2147483647"));
    vocabulary_[token] = id.get<int64_t>();
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::readMerges(const std::string &text) {
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r')
      line.pop_back();
    if (line.empty() || line.starts_with("#version"))
      continue;
    size_t blank = line.find(' ');
    bool valid = blank != std::string::npos && blank > 0 && blank + 1 < line.size() &&
                 line.find(' ', blank + 1) == std::string::npos;
    std::string where = absl::StrCat("line ", number, ": ");
    if (!valid)
      return badFile("tokenizer/merges.txt", where + "needed: two symbols and one blank");
    std::pair<std::string, std::string> merge = {line.substr(0, blank), line.substr(blank + 1)};
    if (!vocabulary_.count(merge.first + merge.second))
      return badFile("tokenizer/merges.txt", absl::StrCat(where, "'", merge.first, merge.second,
                                                          "' is not in the vocabulary"));
    ranks_.emplace(std::move(merge), static_cast<int64_t>(ranks_.size()));
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::readConfiguration(const std::string &text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object())
    return badFile(kConfigurationFile, "not a JSON object");
  auto length = json.find("model_max_length");
  if (length == json.end() || !length->is_number_unsigned() || length->get<uint64_t>() < 2 ||
      length->get<uint64_t>() > 65536)
    return badFile(kConfigurationFile, "'model_max_length' is not a number from 2 to 65536");
  maxLength_ = length->get<int64_t>();

  struct Special {
    const char *key;
    const char *byDefault;
    int64_t *id;
  };
  // What a configuration leaves out is what CLIPTokenizer takes: its end token also pads.
  std::string endText = "<|endoftext|>";
  for (auto [key, byDefault, id] :
       {Special{"bos_token", "<|startoftext|>", &start_}, Special{"eos_token", "", &end_},
        Special{"pad_token", "", &pad_}, Special{"unk_token", "", &unknown_}}) {
    absl::StatusOr<std::string> token = tokenText(json, key);
    if (!token.ok())
      return token.status();
    if (token->empty())
      *token = *byDefault ? byDefault : endText;
    if (id == &end_)
      endText = *token;
    auto entry = vocabulary_.find(*token);
    if (entry == vocabulary_.end())
      return badFile(kConfigurationFile,
                     absl::StrCat("'", key, "' is '", *token, "', which is not in the vocabulary"));
    *id = entry->second;
    special_.emplace_back(*entry);
  }
  std::stable_sort(special_.begin(), special_.end(),
                   [](const auto &a, const auto &b) { return a.first.size() > b.first.size(); });
  return absl::OkStatus();
}

int64_t Tokenizer::idOf(const std::string &token) const {
  auto entry = vocabulary_.find(token);
  return entry == vocabulary_.end() ? unknown_ : entry->second;
}

void Tokenizer::appendWord(const std::string &word, std::vector<int64_t> &ids) const {
  std::vector<std::string> parts;
  for (char c : word)
    parts.push_back(symbols_[static_cast<unsigned char>(c)]);
  // The last *character* takes the suffix; its bytes are symbols of their own, the last of which
  // ends the word.
  parts.back() += kWordEnd;
  auto rankAt = [&](size_t i) {
    auto entry = ranks_.find({parts[i], parts[i + 1]});
    return entry == ranks_.end() ? std::numeric_limits<int64_t>::max() : entry->second;
  };
  std::vector<int64_t> ranks;
  for (size_t i = 0; i + 1 < parts.size(); ++i)
    ranks.push_back(rankAt(i));
  while (!ranks.empty()) {
    auto best = std::min_element(ranks.begin(), ranks.end());
    if (*best == std::numeric_limits<int64_t>::max())
      break;
    auto at = static_cast<size_t>(best - ranks.begin());
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    ranks.erase(best);
    if (at < ranks.size())
      ranks[at] = rankAt(at);
    if (at > 0)
      ranks[at - 1] = rankAt(at - 1);
  }
  for (const std::string &part : parts)
    ids.push_back(idOf(part));
}

absl::Status Tokenizer::appendText(const std::string &text, std::vector<int64_t> &ids) const {
  absl::StatusOr<Characters> clean = normalize(text);
  if (!clean.ok())
    return clean.status();
  for (const std::string &word : splitWords(*clean))
    appendWord(word, ids);
  return absl::OkStatus();
}

absl::StatusOr<Tokens> Tokenizer::encode(const std::string &text) const {
  if (text.size() > kLongestText)
    return absl::InvalidArgumentError(
        absl::StrCat("text of ", text.size(), " bytes is longer than ", kLongestText));
  // Special tokens are found in the text as it was given, before anything is normalized.
  std::vector<int64_t> ids = {start_};
  size_t done = 0;
  for (size_t at = 0; at <= text.size();) {
    auto token = std::find_if(special_.begin(), special_.end(), [&](const auto &entry) {
      return text.compare(at, entry.first.size(), entry.first) == 0;
    });
    bool found = at < text.size() && token != special_.end();
    if (found || at == text.size()) {
      if (absl::Status status = appendText(text.substr(done, at - done), ids); !status.ok())
        return status;
      if (found)
        ids.push_back(token->second);
      done = found ? at + token->first.size() : at;
    }
    at = found ? done : at + 1;
  }
  Tokens tokens;
  auto room = static_cast<size_t>(maxLength_);
  tokens.truncated = ids.size() + 1 > room;
  ids.resize(std::min(ids.size(), room - 1));
  ids.push_back(end_);
  ids.resize(room, pad_);
  tokens.ids = std::move(ids);
  return tokens;
}

} // namespace sdopt
