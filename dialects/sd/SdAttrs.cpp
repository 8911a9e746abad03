//===- SdAttrs.cpp - attributes of the sd dialect ---------------------------===//

#include "compiler/kernels/TapWinograd.h"
#include "dialects/sd/Sd.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sdopt::sd;
using sdopt::TapShifts;

namespace sdopt {

static llvm::hash_code hash_value(const TapShifts &shifts) {
  return llvm::hash_combine(llvm::ArrayRef<uint8_t>(shifts.codes),
                            llvm::ArrayRef<uint8_t>(shifts.weights));
}

} // namespace sdopt

#define GET_ATTRDEF_CLASSES
#include "dialects/sd/SdAttrs.cpp.inc"

void SdDialect::registerAttrs() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/sd/SdAttrs.cpp.inc"
      >();
}

namespace {

using Shifts = std::array<uint8_t, sdopt::kTapProducts>;

/// `name` = [36 numbers]
ParseResult parseShifts(AsmParser &parser, llvm::StringRef name, Shifts &shifts) {
  SmallVector<int64_t> numbers;
  llvm::SMLoc where;
  if (parser.parseKeyword(name) || parser.parseEqual() || parser.getCurrentLocation(&where) ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                     [&] { return parser.parseInteger(numbers.emplace_back()); }))
    return failure();
  if (numbers.size() != shifts.size())
    return parser.emitError(where) << "tap shifts of " << name << " are " << numbers.size()
                                   << " numbers but must be " << shifts.size();
  for (auto [shift, number] : llvm::zip(shifts, numbers)) {
    if (number < 0 || number > sdopt::kMostTapShift)
      return parser.emitError(where) << "tap shift " << number << " of " << name
                                     << " is outside [0, " << sdopt::kMostTapShift << "]";
    shift = static_cast<uint8_t>(number);
  }
  return success();
}

} // namespace

Attribute TapShiftsAttr::parse(AsmParser &parser, Type) {
  TapShifts shifts;
  if (parser.parseLess() || parseShifts(parser, "codes", shifts.codes) || parser.parseComma() ||
      parseShifts(parser, "weights", shifts.weights) || parser.parseGreater())
    return {};
  return get(parser.getContext(), shifts);
}

void TapShiftsAttr::print(AsmPrinter &printer) const {
  const auto list = [&](const Shifts &shifts) {
    llvm::interleaveComma(shifts, printer, [&](uint8_t shift) { printer << int{shift}; });
  };
  printer << "<codes = [";
  list(getValue().codes);
  printer << "], weights = [";
  list(getValue().weights);
  printer << "]>";
}
