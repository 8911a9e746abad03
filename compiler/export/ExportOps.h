//===- ExportOps.h - one function for each operation ------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_EXPORT_EXPORTOPS_H
#define SDOPT_COMPILER_EXPORT_EXPORTOPS_H

#include "compiler/export/QdqBuilder.h"

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

// ExportLayers.cpp
void exportOp(sd::AttentionOp op, QdqBuilder &build);
void exportOp(sd::Conv2dOp op, QdqBuilder &build);
void exportOp(sd::EmbeddingOp op, QdqBuilder &build);
void exportOp(sd::GroupNormOp op, QdqBuilder &build);
void exportOp(sd::LayerNormOp op, QdqBuilder &build);
void exportOp(sd::LinearOp op, QdqBuilder &build);
void exportOp(sd::PoolTokenOp op, QdqBuilder &build);
void exportOp(sd::RmsNormOp op, QdqBuilder &build);
void exportOp(sd::TimeEmbeddingOp op, QdqBuilder &build);

// ExportElementwise.cpp
void exportOp(sd::AddOp op, QdqBuilder &build);
void exportOp(sd::ConcatOp op, QdqBuilder &build);
void exportOp(sd::DequantizeOp op, QdqBuilder &build);
void exportOp(sd::GegluOp op, QdqBuilder &build);
void exportOp(sd::GeluOp op, QdqBuilder &build);
void exportOp(sd::GeluTanhOp op, QdqBuilder &build);
void exportOp(sd::ModulateOp op, QdqBuilder &build);
void exportOp(sd::QuantizeOp op, QdqBuilder &build);
void exportOp(sd::QuickGeluOp op, QdqBuilder &build);
void exportOp(sd::RequantizeOp op, QdqBuilder &build);
void exportOp(sd::ReshapeOp op, QdqBuilder &build);
void exportOp(sd::SigmoidOp op, QdqBuilder &build);
void exportOp(sd::SiluOp op, QdqBuilder &build);
void exportOp(sd::SliceOp op, QdqBuilder &build);
void exportOp(sd::TransposeOp op, QdqBuilder &build);
void exportOp(sd::UpsampleOp op, QdqBuilder &build);

} // namespace sdopt

#endif // SDOPT_COMPILER_EXPORT_EXPORTOPS_H
