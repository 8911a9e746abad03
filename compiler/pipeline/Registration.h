//===- Registration.h - dialects and passes, in one place -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_REGISTRATION_H
#define SDOPT_COMPILER_PIPELINE_REGISTRATION_H

namespace mlir {
class DialectRegistry;
}

namespace sdopt {

/// Dialects that sdopt files use, with their evaluation models.
void registerSdoptDialects(mlir::DialectRegistry &registry);

/// All passes, for sdopt-opt.
void registerSdoptPasses();

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_REGISTRATION_H
