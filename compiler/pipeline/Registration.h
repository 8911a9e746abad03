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

/// Errors name their value; the operation, often a whole function, is printed with them only if
/// --mlir-print-op-on-diagnostic asks for it. Call before LLVM's command line is parsed.
void leaveOperationsOutOfErrors();

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_REGISTRATION_H
