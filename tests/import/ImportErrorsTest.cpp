#include "tests/import/ModelBuilder.h"
