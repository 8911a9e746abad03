//===- Npu.h - the npu dialect ----------------------------------*- C++ -*-===//

#ifndef SDOPT_DIALECTS_NPU_NPU_H
#define SDOPT_DIALECTS_NPU_NPU_H

#include "dialects/sd/Sd.h"

#include "dialects/npu/NpuDialect.h.inc"
#include "dialects/npu/NpuEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/npu/NpuAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/npu/NpuOps.h.inc"

#endif // SDOPT_DIALECTS_NPU_NPU_H
