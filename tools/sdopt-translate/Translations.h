//===- Translations.h - translations between files and IR -------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_TRANSLATE_TRANSLATIONS_H
#define SDOPT_TOOLS_SDOPT_TRANSLATE_TRANSLATIONS_H

namespace sdopt {

/// --import-onnx: a .onnx file (named on the command line, not piped: its external data lies beside
/// it) to sd.
/// --npu-to-assembly: scheduled npu IR to the NPU's commands as text; the weights tell how many
/// bytes commands move.
void registerTranslations();

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_TRANSLATE_TRANSLATIONS_H
