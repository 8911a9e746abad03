//===- Tokenizer.h - CLIP byte-pair tokenizer -------------------*- C++ -*-===//
//
// Text to token ids as CLIPTokenizer of transformers does it, from the same files:
//
//   "Large  RED rings!" -> lower case, white space cleaned: "large red rings!"
//                       -> words:  large | red | rings | !
//                       -> bytes as printable symbols, "</w>" after the last, merged by rank
//                       -> <start> ids... <end> <pad>...        (model_max_length ids)
//
// A word is a special token, a contraction ('s 't 're 've 'm 'll 'd), a run of letters, one digit,
// or a run of anything else that is not white space.
//
// Which characters are letters, digits and white space is decided for ASCII, Latin-1, Latin
// Extended-A, Greek, Cyrillic, kana, Han, Hangul, full-width forms, and the punctuation and symbol
// blocks (emoji among them). A character elsewhere (and a combining mark that composition would
// remove) is an error that names it, never a guess.
//
// R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units",
// ACL 2016, section 3.2.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_TOKENIZER_H
#define SDOPT_TOOLS_SDOPT_RUN_TOKENIZER_H

#include "absl/status/statusor.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sdopt {

struct Tokens {
  std::vector<int64_t> ids; ///< model_max_length of them
  bool truncated = false;   ///< words at the end did not fit
};

class Tokenizer {
public:
  /// The texts of vocab.json, merges.txt and tokenizer_config.json. Errors name the file.
  static absl::StatusOr<Tokenizer> create(const std::string &vocabulary, const std::string &merges,
                                          const std::string &configuration);

  /// INVALID_ARGUMENT: not UTF-8, an undecided character (see above), or longer than 16 KiB.
  absl::StatusOr<Tokens> encode(const std::string &text) const;

  int64_t maxLength() const { return maxLength_; }
  int64_t endToken() const { return end_; }

private:
  Tokenizer() = default;
  absl::Status readVocabulary(const std::string &text);
  absl::Status readMerges(const std::string &text);
  absl::Status readConfiguration(const std::string &text);
  absl::Status appendText(const std::string &text, std::vector<int64_t> &ids) const;
  void appendWord(const std::string &word, std::vector<int64_t> &ids) const;
  int64_t idOf(const std::string &token) const;

  std::map<std::string, int64_t> vocabulary_;
  std::map<std::pair<std::string, std::string>, int64_t> ranks_;
  std::vector<std::pair<std::string, int64_t>> special_; ///< longest first
  std::array<std::string, 256> symbols_;                 ///< of each byte, UTF-8
  int64_t start_ = 0, end_ = 0, pad_ = 0, unknown_ = 0, maxLength_ = 0;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_TOKENIZER_H
