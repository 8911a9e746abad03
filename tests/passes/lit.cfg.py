import os

import lit.formats

config.name = "passes"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.sdopt_binary_dir, "tests", "passes")

# %sdopt-opt and the LLVM tools, by full path.
config.substitutions.append(("%sdopt-opt", os.path.join(config.sdopt_tools_dir, "sdopt-opt")))
for tool in ("FileCheck", "not", "split-file"):
    config.substitutions.append((r"\b" + tool + r"\b", os.path.join(config.llvm_tools_dir, tool)))
