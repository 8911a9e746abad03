//===- Characters.cpp - the part of Unicode that prompts need -------------===//

#include "tools/sdopt-run/Characters.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <iterator>

namespace sdopt {

namespace {

struct Range {
  char32_t first, last;
  CharacterClass kind;
};

constexpr CharacterClass L = CharacterClass::Letter, N = CharacterClass::Number,
                         S = CharacterClass::Space, O = CharacterClass::Other;

// Sorted, disjoint; what lies between is Unknown. Characters that canonical composition replaces
// (U+2126, combining marks U+0300..036F, ...) are left out on purpose.
constexpr Range kRanges[] = {
    {0x00, 0x08, O},       {0x09, 0x0d, S},       {0x0e, 0x1f, O},       {0x20, 0x20, S},
    {0x21, 0x2f, O},       {0x30, 0x39, N},       {0x3a, 0x40, O},       {0x41, 0x5a, L},
    {0x5b, 0x60, O},       {0x61, 0x7a, L},       {0x7b, 0x84, O},       {0x85, 0x85, S},
    {0x86, 0x9f, O},       {0xa0, 0xa0, S},       {0xa1, 0xa9, O},       {0xaa, 0xaa, L},
    {0xab, 0xb1, O},       {0xb2, 0xb3, N},       {0xb4, 0xb4, O},       {0xb5, 0xb5, L},
    {0xb6, 0xb8, O},       {0xb9, 0xb9, N},       {0xba, 0xba, L},       {0xbb, 0xbb, O},
    {0xbc, 0xbe, N},       {0xbf, 0xbf, O},       {0xc0, 0xd6, L},       {0xd7, 0xd7, O},
    {0xd8, 0xf6, L},       {0xf7, 0xf7, O},       {0xf8, 0x12f, L},      {0x131, 0x17f, L},
    {0x370, 0x373, L},     {0x376, 0x377, L},     {0x37b, 0x37d, L},     {0x37f, 0x37f, L},
    {0x384, 0x385, O},     {0x386, 0x386, L},     {0x388, 0x38a, L},     {0x38c, 0x38c, L},
    {0x38e, 0x3a1, L},     {0x3a3, 0x3ce, L},     {0x400, 0x45f, L},     {0x460, 0x481, L},
    {0x482, 0x482, O},     {0x48a, 0x52f, L},     {0x2002, 0x200a, S},   {0x200b, 0x2027, O},
    {0x2028, 0x2029, S},   {0x202a, 0x202e, O},   {0x202f, 0x202f, S},   {0x2030, 0x205e, O},
    {0x205f, 0x205f, S},   {0x2060, 0x2064, O},   {0x2070, 0x2070, N},   {0x2071, 0x2071, L},
    {0x2074, 0x2079, N},   {0x207a, 0x207e, O},   {0x207f, 0x207f, L},   {0x2080, 0x2089, N},
    {0x208a, 0x208e, O},   {0x20a0, 0x20c0, O},   {0x2116, 0x2118, O},   {0x2122, 0x2122, O},
    {0x2190, 0x2328, O},   {0x232b, 0x2426, O},   {0x2460, 0x249b, N},   {0x2500, 0x2775, O},
    {0x2776, 0x2793, N},   {0x2794, 0x27ff, O},   {0x2900, 0x2982, O},   {0x2b00, 0x2b73, O},
    {0x3000, 0x3000, S},   {0x3001, 0x3004, O},   {0x3005, 0x3006, L},   {0x3007, 0x3007, N},
    {0x3008, 0x3020, O},   {0x3041, 0x3096, L},   {0x309b, 0x309c, O},   {0x309d, 0x309f, L},
    {0x30a0, 0x30a0, O},   {0x30a1, 0x30fa, L},   {0x30fb, 0x30fb, O},   {0x30fc, 0x30ff, L},
    {0x3400, 0x4dbf, L},   {0x4e00, 0x9fff, L},   {0xac00, 0xd7a3, L},   {0xfe0e, 0xfe0f, O},
    {0xfeff, 0xfeff, O},   {0xff01, 0xff0f, O},   {0xff10, 0xff19, N},   {0xff1a, 0xff20, O},
    {0xff21, 0xff3a, L},   {0xff3b, 0xff40, O},   {0xff41, 0xff5a, L},   {0xff5b, 0xff65, O},
    {0xfffd, 0xfffd, O},   {0x1f300, 0x1f6d7, O}, {0x1f6e0, 0x1f6ec, O}, {0x1f6f0, 0x1f6fc, O},
    {0x1f900, 0x1f9ff, O}, {0x1fa70, 0x1fa74, O},
};

bool between(char32_t character, char32_t first, char32_t last) {
  return first <= character && character <= last;
}

/// Blocks where an upper-case letter is followed by its lower-case one.
bool isUpperOfPair(char32_t c) {
  if (between(c, 0x139, 0x148) || between(c, 0x179, 0x17e) || between(c, 0x4c1, 0x4ce))
    return c % 2 == 1;
  return (between(c, 0x100, 0x137) || between(c, 0x14a, 0x177) || between(c, 0x370, 0x373) ||
          c == 0x376 || between(c, 0x460, 0x481) || between(c, 0x48a, 0x4bf) ||
          between(c, 0x4d0, 0x52f)) &&
         c % 2 == 0;
}

} // namespace

CharacterClass classify(char32_t character) {
  const Range *range =
      std::upper_bound(std::begin(kRanges), std::end(kRanges), character,
                       [](char32_t value, const Range &entry) { return value < entry.first; });
  if (range == std::begin(kRanges) || (range - 1)->last < character)
    return CharacterClass::Unknown;
  return (range - 1)->kind;
}

char32_t toLower(char32_t c) {
  if (between(c, 'A', 'Z') || (between(c, 0xc0, 0xde) && c != 0xd7) || between(c, 0x410, 0x42f) ||
      between(c, 0xff21, 0xff3a) || (between(c, 0x391, 0x3ab) && c != 0x3a2))
    return c + 32;
  if (c == 0x178)
    return 0xff;
  if (c == 0x37f)
    return 0x3f3;
  if (c == 0x386)
    return 0x3ac;
  if (between(c, 0x388, 0x38a))
    return c + 37;
  if (c == 0x38c)
    return 0x3cc;
  if (c == 0x38e || c == 0x38f)
    return c + 63;
  if (between(c, 0x400, 0x40f))
    return c + 80;
  if (c == 0x4c0)
    return 0x4cf;
  return isUpperOfPair(c) ? c + 1 : c;
}

absl::StatusOr<std::vector<char32_t>> decodeUtf8(const std::string &text) {
  std::vector<char32_t> characters;
  for (size_t at = 0; at < text.size();) {
    auto lead = static_cast<unsigned char>(text[at]);
    int length = lead < 0x80       ? 1
                 : lead >> 5 == 6  ? 2
                 : lead >> 4 == 14 ? 3
                 : lead >> 3 == 30 ? 4
                                   : 0;
    static constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    static constexpr unsigned char kLeadBits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    char32_t character = lead & kLeadBits[length];
    bool valid = length > 0 && at + length <= text.size();
    for (int i = 1; valid && i < length; ++i) {
      auto byte = static_cast<unsigned char>(text[at + i]);
      valid = byte >> 6 == 2;
      character = character << 6 | (byte & 0x3f);
    }
    if (!valid || character < kSmallest[length] || between(character, 0xd800, 0xdfff) ||
        character > 0x10ffff)
      return absl::InvalidArgumentError(absl::StrCat("byte ", at, " of the text is not UTF-8"));
    characters.push_back(character);
    at += static_cast<size_t>(length);
  }
  return characters;
}

void appendUtf8(char32_t c, std::string &text) {
  auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80)
    return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
    }
    put(0x80 | (c >> 6 & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

} // namespace sdopt
